"""The findings as tidy tables: what `dvc plots`, a spreadsheet and the page's own tables read."""

from __future__ import annotations

import pandas as pd

from qaemb.report.data import CURVE_COLUMNS, Findings


def score_table(findings: Findings) -> pd.DataFrame:
    """Return a row per subject and encoding model: the scores, and `vs_BASELINE`, `_low`, `_high` where compared."""
    table = findings.scores
    for baseline, pairs in findings.pairs.groupby("baseline", sort=False):
        name = f"vs_{baseline}"
        columns = {"difference": name, "low": f"{name}_low", "high": f"{name}_high"}
        wide = pairs.rename(columns=columns)[["subject", "model", *columns.values()]]
        table = table.merge(wide, on=["subject", "model"], how="left")
    return table


def curve_table(findings: Findings) -> pd.DataFrame:
    """Return CURVE_COLUMNS over all spaces that questions were selected on."""
    curves = [selection.curve for selection in findings.selections]
    return pd.concat(curves, ignore_index=True) if curves else pd.DataFrame(columns=CURVE_COLUMNS)
