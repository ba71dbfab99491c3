"""Engine `shared` on a GPU with a model of 8 billion random weights: `make bench-answers-gpu`.

Operations per second as a share of what the card multiplies, measured in the same run. Random weights take the same
time as trained ones; ids come from SmolLM2's tokenizer. `--shape tiny --device cpu` is a smoke run without a GPU.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from benchmarks.answers.cases import LONG, SHORT, Asked, Case
from benchmarks.answers.floor import shapes_in
from benchmarks.answers.random_model import SHAPES, make_folder, matmul_flops, random_weights
from benchmarks.answers.timing import summary
from benchmarks.answers.workload import Dealer, load_dealer
from benchmarks.record import RESULTS, write_result
from qaemb.answers.engines.shared import SharedAnswerer
from qaemb.errors import QaembError
from qaemb.settings import AnswererSettings
from qaemb.workspace import Workspace

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_CASES = (
    Case("short_300_text_first", "text_first", SHORT, 300, {"shared": 128}),
    Case("long_300_text_first", "text_first", LONG, 300, {"shared": 6}),
    Case("short_300_few_shot", "few_shot", SHORT, 300, {"shared": 64}),
)
_TINY_CASES = (Case("short_30_text_first", "text_first", SHORT, 30, {"shared": 2}),)
_BUDGETS = (None, 8192, 16384, 32768, 65536)  # `batch_tokens`; None is the engine's own choice
_WIDTHS = {"llama8b": 8192, "tiny": 256}  # of the matrices that give the rate
_SAMPLE_TEXTS, _ROUNDS = 4, 3
_MODEL = "smollm2"  # whose tokenizer is used


@dataclass(frozen=True)
class Run:
    """One timed call: cells, tokens through the model, wall seconds, and the operations of its linear layers."""

    n_cells: int
    tokens: int
    wall_s: float
    flops: float


class Bench:
    """A model on a device, ready to answer."""

    def __init__(self, model: PreTrainedModel, folder: Path) -> None:
        self._model, self._folder, self._shapes = model, folder, shapes_in(folder)

    def fastest(self, sample: Asked, budgets: Sequence[int | None] = _BUDGETS) -> SharedAnswerer:
        """Return the answerer with the `batch_tokens` that answers a sample fastest."""
        answerers = [self._answerer(sample.prompt, budget) for budget in budgets]
        seconds = []
        for answerer in tqdm(answerers, desc="batch_tokens", unit="trial", leave=False):
            self.answer(answerer, sample)  # warms up; without a budget the engine looks for one
            seconds.append(self.answer(answerer, sample).wall_s)
        return answerers[seconds.index(min(seconds))]

    def answer(self, answerer: SharedAnswerer, asked: Asked) -> Run:
        """Answer once; the answers come back to the CPU, so the device is done when the time is taken."""
        start = time.perf_counter()
        answerer.answer(asked.texts, asked.questions)
        wall_s = time.perf_counter() - start
        tokens = answerer.cost(asked.texts, asked.questions).tokens
        flops = tokens * self._shapes.token_flops + asked.n_cells * self._shapes.cell_flops
        return Run(asked.n_cells, tokens, wall_s, flops)

    def _answerer(self, prompt: str, budget: int | None) -> SharedAnswerer:
        settings = AnswererSettings(
            engine="shared", model=self._folder.name, prompt=prompt, dtype="bfloat16", batch_tokens=budget
        )
        answerer = SharedAnswerer(settings, self._folder)
        answerer.model = self._model  # in place of the one that it would load
        return answerer


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and write its result; returns the exit status."""
    options = _parse(arguments)
    try:
        check_device(options.shape, options.device)
        print(f"wrote {_measure(options)}")
    except QaembError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def check_device(shape: str, device: str) -> None:
    """QaembError where the device is not there, or is too small for the shape."""
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise QaembError(
            "this benchmark needs a CUDA device and PyTorch finds none; `--shape tiny --device cpu` is a smoke run"
        )
    if device == "cpu" and shape != "tiny":
        raise QaembError(f"shape {shape} is for a GPU; on a CPU take `--shape tiny`")


def figures_of(runs: Sequence[Run], budget: int | None, matmul: float) -> dict[str, Any]:
    """Return a case's numbers: medians with the smallest and largest round."""
    return {
        "n_cells": runs[0].n_cells,
        "tokens": runs[0].tokens,
        "batch_tokens": budget or "the engine's choice",
        "cells_per_s": summary([run.n_cells / run.wall_s for run in runs]),
        "tokens_per_s": summary([run.tokens / run.wall_s for run in runs]),
        "share_of_matmul_rate": summary([run.flops / run.wall_s / matmul for run in runs]),
    }


def _measure(options: argparse.Namespace) -> Path:
    workspace = Workspace()
    dealer, questions = load_dealer(workspace)
    with tempfile.TemporaryDirectory() as scratch:
        folder = make_folder(options.shape, workspace.model(_MODEL), Path(scratch) / options.shape)
        matmul = matmul_flops(options.device, _WIDTHS[options.shape])
        bench = Bench(random_weights(folder, options.device), folder)
        cases = _TINY_CASES if options.shape == "tiny" else _CASES
        figures = {case.name: _case(bench, case, dealer, matmul) for case in cases}
    settings = {
        "shape": {"name": options.shape, **SHAPES[options.shape]},
        "dtype": "bfloat16, last layer float32",
        "device": _device_name(options.device),
        "matmul_tflops": round(matmul / 1e12, 2),
        "rounds": _ROUNDS,
        "questions": questions,
    }
    headline = {
        f"share_of_matmul_rate_{name}": case["share_of_matmul_rate"]["median"] for name, case in figures.items()
    }
    print(headline)
    where = RESULTS if options.device == "cuda" and options.shape != "tiny" else Path("build/bench")
    return write_result("answers_gpu", headline, settings, {"cases": figures}, where)


def _case(bench: Bench, case: Case, dealer: Dealer, matmul: float) -> dict[str, Any]:
    answerer = bench.fastest(dealer.sample(case, _SAMPLE_TEXTS, case.n_questions))
    rounds = tqdm(range(_ROUNDS), desc=case.name, unit="round")
    runs = [bench.answer(answerer, dealer.round(case, number)) for number in rounds]
    return figures_of(runs, answerer.settings.batch_tokens, matmul)


def _device_name(device: str) -> str:
    import torch

    return str(torch.cuda.get_device_name()) if device == "cuda" else "cpu"


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.answers.gpu", description=__doc__)
    parser.add_argument("--shape", choices=sorted(SHAPES), default="llama8b")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
