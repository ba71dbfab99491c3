"""What an encoding model leaves behind: the tables of scores and importance, weights, predictions, jackknifed means."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from qaemb.arrays import Array, Floats32
from qaemb.encoding.jackknife import Jackknife
from qaemb.encoding.metrics import SubjectScores
from qaemb.encoding.recording import Recording
from qaemb.errors import BadInput
from qaemb.files import atomic_file

_JACKKNIFE_FILE = "jackknife.npz"
_SHARE_OF_VOXELS = 0.25  # the best ones, of which importance is taken
_Memmap = np.memmap[Any, np.dtype[np.float32]]


@contextmanager
def open_arrays(folder: Path, recording: Recording) -> Iterator[tuple[_Memmap, _Memmap]]:
    """Yield a subject's weights and predictions as new float32 arrays on the disk, to be filled block by block.

    weights_SUBJECT.npy is (delays, features, voxels), predictions_SUBJECT.npy (rows of the test stories one after the
    other, voxels).
    """
    n = recording.responses.n_voxels
    shape = (len(recording.delays), recording.n_features, n)
    weights = np.lib.format.open_memmap(folder / f"weights_{recording.subject}.npy", "w+", np.float32, shape)
    path, n_rows = _predictions_file(folder, recording.subject), sum(map(len, recording.test.values()))
    predicted = np.lib.format.open_memmap(path, "w+", np.float32, (n_rows, n))
    yield weights, predicted
    weights.flush()
    predicted.flush()


def scores_table(subjects: Iterable[SubjectScores], stories: Sequence[str], bands: Sequence[str] = ()) -> pd.DataFrame:
    """Return scores.parquet: a row per subject and voxel; `stories` are the test stories of the whole data set.

    `bands` are the names of the spaces that have a penalty each, of banded ridge alone. A story that no subject has
    repeats of has no ceiling column.
    """
    table = pd.concat([_subject_table(scores, stories, bands) for scores in subjects], ignore_index=True)
    ceilings = [f"ceiling_{story}" for story in stories]
    return table.drop(columns=[name for name in ceilings if table[name].isna().all()])


def _subject_table(scores: SubjectScores, stories: Sequence[str], bands: Sequence[str]) -> pd.DataFrame:
    columns = {"subject": scores.subject, "voxel": np.arange(len(scores.r), dtype=np.int32), "r": scores.r}
    nothing = np.full(len(scores.r), np.nan)
    for name, values in (("r", scores.story_r), ("ceiling", scores.ceiling)):
        of_story = dict(zip(scores.rows, values, strict=True))
        columns |= {f"{name}_{story}": of_story.get(story, nothing) for story in stories}
    columns |= {"ceiling": scores.mean_ceiling, "cc_norm": scores.cc_norm}
    columns |= {"p": scores.p, "q": scores.q, "alpha": scores.alpha}
    if scores.bands is not None:
        columns |= {f"gamma_{name}": gamma for name, gamma in zip(bands, scores.bands, strict=True)}
    return pd.DataFrame(columns)


def importance(subject: str, features: Sequence[str], weights: Floats32, r: Array) -> pd.DataFrame:
    """Return one row per feature, most important first: subject, feature, importance, signed, rank (from 1).

    Weights (delays, features, voxels) are averaged over the delays; `importance` is the mean over voxels of their
    absolute value, `signed` the mean of the value itself. Both are taken over the quarter of the voxels with the
    highest `r` (voxels,), as weights of voxels that nothing predicts are noise.
    """
    scored = np.flatnonzero(np.isfinite(r))
    best = scored[np.argsort(-r[scored], kind="stable")][: max(1, round(_SHARE_OF_VOXELS * len(scored)))]
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


def write_jackknives(folder: Path, means: Mapping[str, Jackknife]) -> None:
    """Write the jackknifed mean r of all subjects (subject -> mean r) as `jackknife.npz`."""
    arrays: dict[str, Any] = {}
    for subject, mean in means.items():
        parts = {"r": mean.value, "left_out": mean.left_out, "story": mean.story, "key": mean.key}
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


def read_predictions(folder: Path, subject: str, rows: Mapping[str, int]) -> Floats32:
    """Return what a model predicts, (test rows, voxels), read from the disk as it is used.

    `rows` is test story -> number of rows, in the order of `model.json`. BadInput if the file is absent or has others.
    """
    path = _predictions_file(folder, subject)
    try:
        predicted = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} can't be read ({error}); run the stage `encode` again") from error
    if predicted.ndim != 2 or len(predicted) != sum(rows.values()):
        raise BadInput(f"{path} has the shape {predicted.shape}, not {sum(rows.values())} rows; run `encode` again")
    return predicted


def _predictions_file(folder: Path, subject: str) -> Path:
    return folder / f"predictions_{subject}.npy"
