"""What an encoding model leaves behind: the scores table, weights on disk, bootstrap draws, and summary numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qaemb.encoding.bootstrap import Draws, interval
from qaemb.encoding.fit import BlockFit
from qaemb.encoding.moments import Array
from qaemb.encoding.recording import Recording
from qaemb.encoding.scores import nan_mean
from qaemb.errors import BadInput
from qaemb.files import atomic_file
from qaemb.identity import json_id
from qaemb.settings import EncodeSettings

_DRAWS_FILE = "bootstrap.npz"


@dataclass(frozen=True)
class SubjectScores:
    """All voxels of one subject: r and ceiling (test stories, voxels), and the bootstrap of the mean r."""

    subject: str
    stories: tuple[str, ...]
    r: Array
    ceiling: Array
    reliable: NDArray[np.bool_]
    alpha: Array
    draws: Draws


def collect(
    recording: Recording, blocks: Iterable[BlockFit], weights_file: Path, settings: EncodeSettings
) -> SubjectScores:
    """Return the scores of all blocks, writing each block's weights (delays, features, voxels) to `weights_file`."""
    n, stories = recording.responses.n_voxels, tuple(recording.test)
    r, ceiling = np.full((len(stories), n), np.nan), np.full((len(stories), n), np.nan)
    alpha, agree, draws = np.full(n, np.nan), np.zeros(n, dtype=bool), np.zeros(settings.n_bootstrap)
    shape = (len(recording.delays), recording.n_features, n)
    weights = np.lib.format.open_memmap(weights_file, mode="w+", dtype=np.float32, shape=shape)
    for block in blocks:
        r[:, block.voxels], ceiling[:, block.voxels] = block.r, block.ceiling
        alpha[block.voxels], agree[block.voxels] = block.alpha, block.reliable
        weights[:, :, block.voxels] = block.weights.reshape(*shape[:2], -1)
        draws += block.draws
    weights.flush()
    scored = np.isfinite(r).all(axis=0)
    if not scored.any():
        raise BadInput(f"{recording.responses.path}: no voxel is free of NaN in all stories, so there is no score")
    rows = {story: len(values) for story, values in recording.test.items()}
    drawn = [settings.n_bootstrap, settings.block_trs, settings.seed]
    key = json_id([recording.subject, list(rows.items()), drawn, np.flatnonzero(~scored).tolist(), n])
    mean = Draws(float(r[:, scored].mean()), draws / scored.sum(), key)
    return SubjectScores(recording.subject, stories, r, ceiling, agree, alpha, mean)


def scores_table(scores: SubjectScores, stories: list[str]) -> pd.DataFrame:
    """Return the rows of scores.parquet for one subject; `stories` are the test stories of the whole data set."""
    columns = {
        "subject": scores.subject,
        "voxel": np.arange(scores.r.shape[1], dtype=np.int32),
        # A NaN voxel is NaN in every story, so this mean never mixes stories that others have.
        "r": scores.r.mean(axis=0),
    }
    nothing = np.full(scores.r.shape[1], np.nan)
    own = {story: i for i, story in enumerate(scores.stories)}
    columns |= {f"r_{story}": scores.r[own[story]] if story in own else nothing for story in stories}
    columns |= {f"ceiling_{story}": scores.ceiling[own[story]] if story in own else nothing for story in stories}
    return pd.DataFrame(columns | {"ceiling": nan_mean(scores.ceiling, axis=0), "alpha": scores.alpha})


def summarise(scores: SubjectScores) -> dict[str, float | int | None]:
    """Return the numbers of one subject for `dvc metrics`; None where a number is not known.

    mean_r: mean over voxels of r, with a 95 % block-bootstrap interval r_low, r_high. mean_ceiling: mean over voxels,
    on the test stories with repeats. share_of_ceiling: mean r over mean ceiling on those stories, over the n_reliable
    voxels whose repeats agree (ceiling.reliable). n_nan: voxels without a score.
    """
    low, high = interval(scores.draws.r, scores.draws.draws)
    repeated = np.isfinite(scores.ceiling).any(axis=1)
    ceiling = nan_mean(scores.ceiling[repeated]) if repeated.any() else np.float64(np.nan)
    share = math.nan
    if repeated.any() and scores.reliable.any():
        kept = np.ix_(repeated, scores.reliable)
        share = float(np.nansum(scores.r[kept]) / np.nansum(scores.ceiling[kept]))
    scored = np.isfinite(scores.r).all(axis=0)
    return {
        "mean_r": scores.draws.r,
        "r_low": _known(low),
        "r_high": _known(high),
        "mean_ceiling": _known(float(ceiling)),
        "share_of_ceiling": _known(share),
        "n_reliable": int(scores.reliable.sum()),
        "n_voxels": scores.r.shape[1],
        "n_nan": int((~scored).sum()),
    }


def write_draws(folder: Path, draws: dict[str, Draws]) -> None:
    """Write the bootstrap draws of all subjects (subject -> draws) as `bootstrap.npz`."""
    arrays: dict[str, Any] = {}
    for subject, own in draws.items():
        arrays |= {f"{subject}/r": np.array(own.r), f"{subject}/draws": own.draws, f"{subject}/key": np.array(own.key)}
    with atomic_file(folder / _DRAWS_FILE) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def read_draws(folder: Path, subject: str) -> Draws:
    """Return the bootstrap draws of one subject from a model's folder, for `bootstrap.paired_difference`."""
    path = folder / _DRAWS_FILE
    try:
        with np.load(path, allow_pickle=False) as arrays:
            r, draws, key = (arrays[f"{subject}/{name}"] for name in ("r", "draws", "key"))
    except (FileNotFoundError, KeyError) as error:
        raise BadInput(f"{path} has no draws of {subject}; run the stage `encode` again") from error
    return Draws(float(r), draws, str(key))


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
