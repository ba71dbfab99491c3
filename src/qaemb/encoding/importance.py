"""Which features a model leans on."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

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
