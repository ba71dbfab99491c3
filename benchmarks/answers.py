"""How much engine `shared` saves against `reference` (one full prompt per cell), on the same cells in one run.

Needs the model folder: `dvc repro model@smollm2 segments@words10 questions`, which `make bench-answers` does.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from record import write_result
from tqdm import tqdm

from qaemb.answers import Answers, build_answerer
from qaemb.files import read_table
from qaemb.questions import load_set
from qaemb.settings import AnswererSettings
from qaemb.workspace import Workspace

_ENGINES = {"reference": 1, "shared": 5}  # repeats: the slow one takes minutes
_PROMPTS = ("text_first", "question_first")
_N_TEXTS, _SET, _THREADS, _SEED = 12, "core", 1, 0


def main() -> None:
    """Time both engines on both prompts, check that they agree, and write benchmarks/results/answers.json."""
    workspace = Workspace()
    texts = _sample(read_table(workspace.segments("words10") / "segments.parquet")["text"].tolist())
    questions = [question.text for question in load_set(workspace.questions, _SET)]
    figures = {}
    for prompt in _PROMPTS:
        answers: dict[str, Answers] = {}
        figures[prompt] = {}
        for engine in _ENGINES:
            answers[engine], speeds = _time(workspace, engine, prompt, texts, questions)
            figures[prompt][engine] = {"cells_per_core_s": speeds}
            print(f"{prompt} {engine}: {np.median(speeds):.1f} cells per core-second", flush=True)
        difference = float(np.abs(answers["shared"].margin - answers["reference"].margin).max())
        figures[prompt]["largest_margin_difference"] = difference
    ratios = {prompt: _ratio(figures[prompt]) for prompt in _PROMPTS}
    headline = {f"shared_over_reference_{prompt}": round(ratio, 2) for prompt, ratio in ratios.items()}
    settings = {
        "model": "SmolLM2-135M-Instruct",
        "dtype": "float32",
        "n_texts": len(texts),
        "n_questions": len(questions),
        "words_per_text": 11,
        "repeats": _ENGINES,
        "threads": _THREADS,
    }
    print(f"wrote {write_result('answers', headline, settings, figures)}: {headline}")


def _sample(texts: list[str]) -> list[str]:
    """Return some texts of eleven words."""
    full = [text for text in texts if len(text.split()) == 11]
    chosen = np.random.default_rng(_SEED).choice(len(full), _N_TEXTS, replace=False)
    return [full[i] for i in chosen]


def _time(
    workspace: Workspace, engine: str, prompt: str, texts: Sequence[str], questions: Sequence[str]
) -> tuple[Answers, list[float]]:
    """Return the answers and cells per core-second of each repeat; loading and a first small call are not timed."""
    spec = AnswererSettings(engine=engine, model="smollm2", prompt=prompt, threads=_THREADS)
    answerer = build_answerer(engine, spec, workspace.model("smollm2"))
    answerer.answer(texts[:2], questions[:2])
    speeds = []
    for _ in tqdm(range(_ENGINES[engine]), desc=f"{prompt} {engine}", unit="pass", leave=False):
        start = time.process_time()
        answers = answerer.answer(texts, questions)
        speeds.append(round(len(texts) * len(questions) / (time.process_time() - start), 2))
    return answers, speeds


def _ratio(figures: dict) -> float:
    return float(np.median(figures["shared"]["cells_per_core_s"]) / np.median(figures["reference"]["cells_per_core_s"]))


if __name__ == "__main__":
    main()
