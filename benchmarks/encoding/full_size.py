"""All voxels of a deep subject, out of core: responses on the disk, the stage's own code. FOLDER [--quick]."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.encoding.problems import (
    DELAYS,
    FULL_SIZE,
    N_FOLDS,
    QUICK_FULL_SIZE,
    Size,
    respond,
    stories,
    voxel_weights,
)
from benchmarks.encoding.worker import peak_gib
from qaemb.encoding.fit import fit_voxels
from qaemb.encoding.plan import plan_fit
from qaemb.encoding.recording import Recording, ResponseFile
from qaemb.encoding.solvers import plain_solver
from qaemb.files import write_json
from qaemb.settings import EncodeSettings

_SEED = 0


def write_responses(size: Size, path: Path) -> None:
    """Write responses of `size` and one test story, story by story, as the stage `dataset` does."""
    weights = voxel_weights(size, _SEED)
    with h5py.File(path, "w") as file:
        for number, features in tqdm(_with_test(size), total=size.stories + 1, desc="responses", unit="story"):
            file[f"data/{number}"] = respond(features, weights, np.random.default_rng((_SEED, number, 1)))


def fit(size: Size, folder: Path) -> dict[str, float]:
    """Fit all voxels as the stage `encode` does; return seconds and peak memory (of fitting and scoring)."""
    features = {str(number): values for number, values in _with_test(size)}
    *train, test = features
    parts = {story: features[story] for story in train}
    recording = Recording("full", parts, {test: features[test]}, DELAYS, ResponseFile(folder / "responses.h5"))
    settings = EncodeSettings(
        n_folds=N_FOLDS, alphas_log10=(1.0, 4.0, 12), delays=list(DELAYS), n_permutations=0, spaces={}
    )
    start = time.perf_counter()
    plan = plan_fit(recording, settings)
    planned = time.perf_counter()
    scores = fit_voxels(recording, plan, settings, plain_solver(plan, settings), folder)
    return {
        "plan_seconds": planned - start,
        "seconds": time.perf_counter() - start,
        "peak_gib": peak_gib(),
        "mean_r_signal": float(np.delete(scores.r, np.s_[::5]).mean()),
        "mean_r_noise": float(scores.r[::5].mean()),
    }


def _with_test(size: Size) -> Iterator[tuple[int, NDArray[Any]]]:
    longer = Size(size.rows + size.rows // size.stories, size.features, size.voxels, size.stories + 1)
    return stories(longer, _SEED)


if __name__ == "__main__":
    where, chosen = Path(sys.argv[1]), QUICK_FULL_SIZE if "--quick" in sys.argv else FULL_SIZE
    if "--write" in sys.argv:
        write_responses(chosen, where / "responses.h5")
    else:
        write_json(where / "full_size.json", fit(chosen, where))
