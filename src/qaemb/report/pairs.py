"""Differences between encoding models and baselines, with the paired intervals of the room `encoding`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from qaemb.encoding.jackknife import Jackknife, confidence, paired_difference
from qaemb.report.data import PAIR_COLUMNS


def paired(means: Mapping[str, Mapping[str, Jackknife]], baselines: Sequence[str]) -> pd.DataFrame:
    """Return PAIR_COLUMNS, a row per subject, model and other baseline: mean r of the model minus the baseline's.

    `means` maps model -> subject -> its jackknifed mean r. Models that were scored on other rows, voxels or blocks than
    the baseline (`Jackknife.key`: a subject of whom only one model was fitted again, say) are left out, as nothing
    pairs them.
    """
    rows = []
    for baseline in baselines:
        for model, subjects in means.items():
            if model == baseline:
                continue
            for subject, of in subjects.items():
                other = means.get(baseline, {}).get(subject)
                if other is not None and other.key == of.key:
                    difference = paired_difference(of, other)
                    found = confidence(difference)
                    numbers = (float(value) for value in (difference.value, found.low, found.high))
                    rows.append((subject, model, baseline, *numbers))
    return pd.DataFrame(rows, columns=PAIR_COLUMNS)
