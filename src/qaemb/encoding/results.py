"""What an encoding model leaves behind: the scores table, weights and predictions on disk, and summary numbers.

Which features a model leans on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qaemb.encoding.fit import BlockFit
from qaemb.encoding.jackknife import Jackknife, block_stories, confidence
from qaemb.encoding.moments import Array
from qaemb.encoding.recording import Recording
from qaemb.encoding.scores import ALPHA, nan_mean, normalised_r
from qaemb.errors import BadInput
from qaemb.files import atomic_file
from qaemb.identity import json_id
from qaemb.settings import EncodeSettings
from qaemb.stats import q_values

_JACKKNIFE_FILE = "jackknife.npz"


@dataclass(frozen=True)
class SubjectScores:
    """All voxels of one subject: r and ceiling (test stories, voxels), p and alpha (voxels,), and the mean r.

    `rows` is test story -> number of its rows. `bands` (bands, voxels), of banded ridge alone: see `RidgeFit`.
    """

    subject: str
    rows: dict[str, int]
    r: Array
    ceiling: Array
    reliable: NDArray[np.bool_]
    alpha: Array
    p: Array
    mean: Jackknife
    bands: Array | None = None

    @property
    def stories(self) -> tuple[str, ...]:
        """The test stories that the subject heard."""
        return tuple(self.rows)

    @property
    def cc_norm(self) -> Array:
        """r as a share of the ceiling, (voxels,); NaN where a voxel has no ceiling or is not reliable."""
        return normalised_r(self.r, self.ceiling, self.reliable)

    @property
    def q(self) -> Array:
        """False discovery rates of p over the voxels of this subject, (voxels,)."""
        return q_values(self.p)


def collect(recording: Recording, blocks: Iterable[BlockFit], folder: Path, settings: EncodeSettings) -> SubjectScores:
    """Return the scores of all blocks; write what is large to `folder` as the blocks come, all of it float32.

    weights_SUBJECT.npy (delays, features, voxels) and predictions_SUBJECT.npy (rows of the test stories one after the
    other, voxels). BadInput if no voxel has a score.
    """
    n, rows = recording.responses.n_voxels, {story: len(values) for story, values in recording.test.items()}
    r, ceiling = np.full((len(rows), n), np.nan), np.full((len(rows), n), np.nan)
    alpha, p, agree = np.full(n, np.nan), np.full(n, np.nan), np.zeros(n, dtype=bool)
    story = block_stories(list(rows.values()), settings.block_trs)
    left_out = np.zeros(len(story))
    shape = (len(recording.delays), recording.n_features, n)
    weights = _new_array(folder / f"weights_{recording.subject}.npy", shape)
    predicted = _new_array(predictions_file(folder, recording.subject), (sum(rows.values()), n))
    gammas: list[Array] = []
    for block in blocks:
        own = block.voxels
        gammas += [] if block.bands is None else [block.bands]
        r[:, own], ceiling[:, own], agree[own] = block.r, block.ceiling, block.reliable
        alpha[own], p[own] = block.alpha, block.p
        weights[:, :, own], predicted[:, own] = block.weights.reshape(*shape[:2], -1), block.predicted
        left_out += block.left_out
    weights.flush()
    predicted.flush()
    scored = np.isfinite(r).all(axis=0)
    if not scored.any():
        raise BadInput(f"{recording.responses.path}: no voxel is free of NaN in all stories, so there is no score")
    about = [recording.subject, list(rows.items()), settings.block_trs, np.flatnonzero(~scored).tolist(), n]
    mean = Jackknife(r[:, scored].mean(), left_out / scored.sum(), story, json_id(about))
    bands = np.hstack(gammas) if gammas else None
    return SubjectScores(recording.subject, rows, r, ceiling, agree, alpha, p, mean, bands)


def scores_table(scores: SubjectScores, stories: list[str], bands: Sequence[str] = ()) -> pd.DataFrame:
    """Return the rows of scores.parquet for one subject; `stories` are the test stories of the whole data set.

    `bands` are the names of the spaces that have a penalty each, of banded ridge alone.
    """
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
    columns |= {"ceiling": nan_mean(scores.ceiling, axis=0), "cc_norm": scores.cc_norm}
    columns |= {"p": scores.p, "q": scores.q, "alpha": scores.alpha}
    if scores.bands is not None:
        columns |= {f"gamma_{name}": gamma for name, gamma in zip(bands, scores.bands, strict=True)}
    return pd.DataFrame(columns)


def summarise(scores: SubjectScores) -> dict[str, float | int | None]:
    """Return the numbers of one subject for `dvc metrics`; None where a number is not known.

    mean_r: mean over voxels of r, with a 95 % jackknife interval r_low, r_high. mean_ceiling: mean over voxels, on the
    test stories with repeats. share_of_ceiling: mean r over mean ceiling on those stories, over the n_reliable voxels
    whose repeats agree (ceiling.reliable); mean_cc_norm: mean over the same voxels of each one's own share.
    n_significant: voxels with q < .05; None where it was not tested. n_nan: voxels without a score.
    """
    found = confidence(scores.mean)
    repeated = np.isfinite(scores.ceiling).any(axis=1)
    ceiling = nan_mean(scores.ceiling[repeated]) if repeated.any() else np.float64(np.nan)
    share = math.nan
    if repeated.any() and scores.reliable.any():
        kept = np.ix_(repeated, scores.reliable)
        share = float(np.nansum(scores.r[kept]) / np.nansum(scores.ceiling[kept]))
    scored = np.isfinite(scores.r).all(axis=0)
    return {
        "mean_r": float(scores.mean.value),
        "r_low": _known(float(found.low)),
        "r_high": _known(float(found.high)),
        "mean_ceiling": _known(float(ceiling)),
        "share_of_ceiling": _known(share),
        "mean_cc_norm": _known(float(nan_mean(scores.cc_norm))),
        "n_significant": int((scores.q < ALPHA).sum()) if np.isfinite(scores.p).any() else None,
        "n_reliable": int(scores.reliable.sum()),
        "n_voxels": scores.r.shape[1],
        "n_nan": int((~scored).sum()),
    }


def write_jackknives(folder: Path, means: dict[str, Jackknife]) -> None:
    """Write the jackknifed mean r of all subjects (subject -> mean r) as `jackknife.npz`."""
    arrays: dict[str, Any] = {}
    for subject, own in means.items():
        parts = {"r": own.value, "left_out": own.left_out, "story": own.story, "key": own.key}
        arrays |= {f"{subject}/{name}": np.asarray(values) for name, values in parts.items()}
    with atomic_file(folder / _JACKKNIFE_FILE) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def read_jackknife(folder: Path, subject: str) -> Jackknife:
    """Return the jackknifed mean r of one subject from a model's folder, for `jackknife.paired_difference`."""
    path = folder / _JACKKNIFE_FILE
    try:
        with np.load(path, allow_pickle=False) as arrays:
            r, left_out, story, key = (arrays[f"{subject}/{name}"] for name in ("r", "left_out", "story", "key"))
    except (FileNotFoundError, KeyError) as error:
        raise BadInput(f"{path} has no scores of {subject}; run the stage `encode` again") from error
    return Jackknife(r, left_out, story, str(key))


def predictions_file(folder: Path, subject: str) -> Path:
    """Return where a model's folder has the predictions of a subject."""
    return folder / f"predictions_{subject}.npy"


def read_predictions(folder: Path, subject: str, rows: Mapping[str, int]) -> NDArray[np.float32]:
    """Return what a model predicts, (test rows, voxels), read from the disk as it is used.

    `rows` is test story -> number of rows, in the order of `model.json`. BadInput if the file is absent or has others.
    """
    path = predictions_file(folder, subject)
    try:
        predicted = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} can't be read ({error}); run the stage `encode` again") from error
    if predicted.ndim != 2 or len(predicted) != sum(rows.values()):
        raise BadInput(f"{path} has the shape {predicted.shape}, not {sum(rows.values())} rows; run `encode` again")
    return predicted


def _new_array(path: Path, shape: tuple[int, ...]) -> np.memmap[Any, np.dtype[np.float32]]:
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


_SHARE_OF_VOXELS = 0.25


def importance(subject: str, features: list[str], weights: NDArray[np.float32], r: NDArray[np.float64]) -> pd.DataFrame:
    """Return one row per feature, most important first: subject, feature, importance, signed, rank (from 1).

    Weights (delays, features, voxels) are averaged over the delays; `importance` is the mean over voxels of their
    absolute value, `signed` the mean of the value itself. Both are taken over the quarter of the voxels with the
    highest `r` (voxels,), as weights of voxels that nothing predicts are noise.
    """
    known = np.flatnonzero(np.isfinite(r))
    best = known[np.argsort(-r[known], kind="stable")][: max(1, round(_SHARE_OF_VOXELS * len(known)))]
    averaged = weights[:, :, np.sort(best)].astype(np.float64).mean(axis=0)
    table = pd.DataFrame(
        {
            "subject": subject,
            "feature": features,
            "importance": np.abs(averaged).mean(axis=1),
            "signed": averaged.mean(axis=1),
        }
    ).sort_values("importance", ascending=False, kind="stable", ignore_index=True)
    return table.assign(rank=np.arange(1, len(table) + 1, dtype=np.int32))
