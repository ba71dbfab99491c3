"""Differences between encoding models and baselines, with the paired intervals of the room `encoding`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from qaemb.encoding.bootstrap import Draws, paired_difference
from qaemb.report.data import PAIR_COLUMNS


def paired(draws: Mapping[str, Mapping[str, Draws]], baselines: Sequence[str]) -> pd.DataFrame:
    """Return PAIR_COLUMNS, a row per subject, model and other baseline: mean r of the model minus the baseline's.

    `draws` maps model -> subject -> its draws. Models that were scored on other rows, voxels or blocks than the
    baseline (`Draws.key`: a subject of whom only one model was fitted again, say) are left out, as nothing pairs them.
    """
    rows = []
    for baseline in baselines:
        for model, subjects in draws.items():
            if model == baseline:
                continue
            for subject, of in subjects.items():
                other = draws.get(baseline, {}).get(subject)
                if other is not None and other.key == of.key:
                    found = paired_difference(of, other)
                    rows.append((subject, model, baseline, found.r, found.low, found.high))
    return pd.DataFrame(rows, columns=PAIR_COLUMNS)
