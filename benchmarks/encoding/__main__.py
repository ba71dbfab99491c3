"""Measure all ways to fit in one run: `make bench-encoding`, or `python -m benchmarks.encoding` from the root."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.encoding.peers import PEERS
from benchmarks.encoding.problems import ALPHAS, FULL_SIZE, N_FOLDS, QUICK_FULL_SIZE, QUICK_SIZES, SIZES, write_problem
from benchmarks.encoding.table import write_tables
from benchmarks.record import RESULTS, write_result
from qaemb.files import read_json

WORK = Path("build/bench/encoding")
_ORACLE = "svd_float64"
_Figures = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark; write its result and, unless it is a smoke run, the tables of docs/performance.md."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="tiny problems; the result goes to build/bench/")
    parser.add_argument("--rounds", type=int, default=1, help="times that every way fits every problem")
    options = parser.parse_args(arguments)
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    figures: _Figures = {"sizes": {}}
    for size in QUICK_SIZES if options.quick else SIZES:
        write_problem(size, WORK / size.name)
        figures["sizes"][size.name] = compare(WORK / size.name, options.rounds)
        for path in (WORK / size.name).glob("*.npy"):
            path.unlink()
    figures["full_size"] = full_size(options.quick)
    settings = {"folds": N_FOLDS, "alphas": [float(alpha) for alpha in ALPHAS], "rounds": options.rounds}
    folder = WORK.parent if options.quick else RESULTS
    path = write_result("encoding", headline(figures), settings, figures, folder)
    if not options.quick:
        write_tables(figures)
    print(f"wrote {path}: {read_json(path)['headline']}")


def compare(folder: Path, rounds: int) -> _Figures:
    """Return per way to fit: seconds of each round, peak memory, settings, and differences from the oracle."""
    runs: dict[str, list[_Figures]] = {peer: [] for peer in PEERS}
    with tqdm(total=rounds * len(PEERS), desc=folder.name, unit="fit") as bar:
        for _ in range(rounds):
            for peer in PEERS:
                _run("benchmarks.encoding.worker", peer, str(folder))
                runs[peer].append(read_json(folder / f"{peer}.json"))
                bar.update()
    oracle = np.load(folder / f"{_ORACLE}.npz")
    return {
        peer: {
            "seconds": [round(run["seconds"], 3) for run in own],
            "peak_gib": max(run["peak_gib"] for run in own),
            "settings": own[-1]["settings"],
            **_agreement(np.load(folder / f"{peer}.npz"), oracle),
        }
        for peer, own in runs.items()
    }


def full_size(quick: bool) -> _Figures:
    """Return what the project's solver takes for all voxels of a deep subject, from the disk."""
    folder, size = WORK / "full", QUICK_FULL_SIZE if quick else FULL_SIZE
    folder.mkdir()
    flags = ["--quick"] if quick else []
    _run("benchmarks.encoding.full_size", str(folder), "--write", *flags)
    _run("benchmarks.encoding.full_size", str(folder), *flags)
    figures: _Figures = {"size": size.name, **read_json(folder / "full_size.json")}
    shutil.rmtree(folder)
    return figures


def headline(figures: _Figures) -> dict[str, float]:
    """Return the ratios at the largest problem that all fitted, and the largest difference of r over all problems."""
    largest = list(figures["sizes"].values())[-1]
    ours = [peers["qaemb"] for peers in figures["sizes"].values()]
    himalaya = min(("himalaya_numpy", "himalaya_torch"), key=lambda peer: median(largest[peer]["seconds"]))
    return {
        "over_himalaya": ratio(largest, himalaya),
        "over_bootstrap_svd": ratio(largest, "svd_float64"),
        "over_bootstrap_svd_float32": ratio(largest, "svd_float32"),
        "over_scikit_learn": ratio(largest, "scikit_learn"),
        "full_size_peak_gib": figures["full_size"]["peak_gib"],
        "full_size_minutes": figures["full_size"]["seconds"] / 60,
        "max_abs_dr": max(own[key] for own in ours for key in ("max_abs_dr", "max_abs_dr_test")),
    }


def ratio(sizes: _Figures, peer: str) -> float:
    """Return the median over rounds of a peer's seconds over the solver's in the same round."""
    pairs = zip(sizes[peer]["seconds"], sizes["qaemb"]["seconds"], strict=True)
    return median(theirs / ours for theirs, ours in pairs)


def _agreement(own: Any, oracle: Any) -> _Figures:
    return {
        "max_abs_dr": float(np.abs(own["r"] - oracle["r"]).max()),
        "max_abs_dr_test": float(np.abs(own["test_r"] - oracle["test_r"]).max()),
        "same_alpha": float(np.isclose(own["alpha"], oracle["alpha"], rtol=1e-4).mean()),
    }


def _run(module: str, *arguments: str) -> None:
    subprocess.run([sys.executable, "-W", "ignore", "-m", module, *arguments], check=True)


if __name__ == "__main__":
    main()
