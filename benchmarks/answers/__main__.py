"""Measure all contestants in one run: `make bench-answers`, or `python -m benchmarks.answers` from the root.

Needs the stages `model@smollm2 segments@words10 questions` and the peers' environments, which the target makes.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.answers.cases import FULL, FULL_EFFORT, QUICK, QUICK_EFFORT, Effort
from benchmarks.answers.figures import case_figures, headline
from benchmarks.answers.floor_contestant import FloorContestant
from benchmarks.answers.imodelsx_peer import Imodelsx
from benchmarks.answers.left_padded import LeftPadded
from benchmarks.answers.ours import EngineContestant
from benchmarks.answers.run import run_case
from benchmarks.answers.table import markdown
from benchmarks.answers.timing import Contestant
from benchmarks.answers.vllm_peer import Vllm
from benchmarks.answers.workload import load_dealer
from benchmarks.record import RESULTS, write_result
from qaemb.errors import QaembError
from qaemb.files import read_json
from qaemb.workspace import Workspace

PEERS = ("imodelsx", "vllm")
ELSEWHERE = Path("build/bench")  # logs, and results that do not count
_MODEL = "smollm2"
_ONE_CORE = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "CUDA_VISIBLE_DEVICES": "",
    "HF_HUB_OFFLINE": "1",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and write its result; returns the exit status."""
    options = parse(arguments)
    os.environ.update(_ONE_CORE)  # before torch is imported, and for the peers' processes
    try:
        path = _measure(options)
    except QaembError as error:
        print(error, file=sys.stderr)
        return 1
    result = read_json(path)
    print(f"\n{markdown(result)}\nwrote {path}: {result['headline']}")
    return 0


def result_folder(options: argparse.Namespace) -> Path:
    """Return where the result goes: a smoke run, or one without a peer, never replaces the committed one."""
    return ELSEWHERE if options.quick or options.without else RESULTS


def contestants_for(options: argparse.Namespace, model: Path) -> dict[str, Contestant]:
    """Return the contestants in the order in which they answer; each loads its model when it gets ready.

    QaembError names a peer whose environment is missing.
    """
    makers: dict[str, Callable[[], Contestant]] = {
        "floor": lambda: FloorContestant(model, "float32"),
        "shared": lambda: EngineContestant("shared", model),
        "imodelsx": lambda: Imodelsx(model, options.imodelsx_python, ELSEWHERE / "imodelsx.log"),
        "left_padded": lambda: LeftPadded(model),
        "vllm": lambda: Vllm(model, options.vllm_python, ELSEWHERE / "vllm.log"),
        "floor_bf16": lambda: FloorContestant(model, "bfloat16"),
        "shared_bf16": lambda: EngineContestant("shared", model, "bfloat16"),
        "reference": lambda: EngineContestant("reference", model, sample_texts=1),
    }
    return {name: make() for name, make in makers.items() if name not in options.without}


def effort_for(options: argparse.Namespace) -> Effort:
    """Return rounds and samples as the options say."""
    effort = QUICK_EFFORT if options.quick else FULL_EFFORT
    return replace(effort, n_rounds=options.rounds) if options.rounds else effort


def _measure(options: argparse.Namespace) -> Path:
    import torch

    torch.set_num_threads(1)
    workspace = Workspace()
    model = workspace.model(_MODEL)
    contestants = contestants_for(options, model)
    dealer, questions = load_dealer(workspace)
    effort = effort_for(options)
    try:
        cases = {
            case.name: case_figures(run_case(case, contestants, dealer, effort, model))
            for case in (QUICK if options.quick else FULL)
        }
        about = {name: contestant.about() for name, contestant in contestants.items()}
    finally:
        for contestant in contestants.values():
            contestant.close()
    settings = {
        "model": "SmolLM2-135M-Instruct",
        "threads": 1,
        "rounds": effort.n_rounds,
        "questions": questions,
        "contestants": about,
    }
    return write_result("answers", headline(cases), settings, {"cases": cases}, result_folder(options))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.answers", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke run, one round of few cells, into build/bench/")
    parser.add_argument("--without", action="append", default=[], choices=PEERS, help="leave a peer out (repeatable)")
    parser.add_argument("--rounds", type=int, default=None, help="rounds of each case; default 3, quick 1")
    parser.add_argument("--imodelsx-python", type=Path, default=Path("build/imodelsx-venv/bin/python"))
    parser.add_argument("--vllm-python", type=Path, default=Path(".venv-vllm/bin/python"))
    options = parser.parse_args(arguments)
    if options.rounds is not None and options.rounds < 1:
        parser.error("--rounds must be at least 1")
    return options


if __name__ == "__main__":
    sys.exit(main())
