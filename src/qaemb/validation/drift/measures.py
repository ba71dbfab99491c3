"""How far one question moved, by each measure, and whether that is beyond its limit and no chance."""

from __future__ import annotations

import numpy as np
import pandas as pd

from qaemb.settings import DriftSettings
from qaemb.validation.drift import statistics as st
from qaemb.validation.drift.version import Version

# Measures of a question, and the setting that limits each.
MEASURES = {
    "rate_change": "max_rate_change",
    "ks": "max_ks",
    "mass_change": "max_mass_change",
    "flipped": "max_flipped",
    "reordered": "max_reordered",
}


def measure(
    before: Version, now: Version, names: tuple[str, str, str], common: st.Common, limits: DriftSettings
) -> dict[str, object]:
    """Return effect sizes and their p for one question: (its id, its name before, its name now)."""
    key, old, new = names
    a, b = (table[name].to_numpy(np.float64) for table, name in ((before.margin, old), (now.margin, new)))
    mass_a, mass_b = (table[name].to_numpy(np.float64) for table, name in ((before.mass, old), (now.mass, new)))
    yes_a, yes_b = (a > 0).astype(np.float64), (b > 0).astype(np.float64)
    ks, p_ks = st.kolmogorov_smirnov(a, b)
    paired_a, paired_b = a[common.before], b[common.now]
    n_flipped = int(((paired_a > 0) != (paired_b > 0)).sum())
    rho = _rho(paired_a, paired_b)
    return {
        "name": new,
        "question_id": key,
        "yes_rate_before": yes_a.mean(),
        "yes_rate": yes_b.mean(),
        "rate_change": yes_b.mean() - yes_a.mean(),
        "ks": ks,
        "mean_before": a.mean(),
        "mean": b.mean(),
        "sd_before": a.std(),
        "sd": b.std(),
        "mean_mass_before": mass_a.mean(),
        "mean_mass": mass_b.mean(),
        "mass_change": mass_b.mean() - mass_a.mean(),
        "flipped": n_flipped / len(common) if len(common) else np.nan,
        "reordered": 1.0 - rho,
        "p_rate_change": st.p_of_mean_change(yes_a, yes_b, common),
        "p_ks": p_ks,
        "p_mass_change": st.p_of_mean_change(mass_a, mass_b, common),
        "p_flipped": st.p_of_flips(n_flipped, len(common), limits.max_flipped) if len(common) else 1.0,
        "p_reordered": st.p_of_weaker(rho, len(common), 1.0 - limits.max_reordered),
    }


def _rho(a: st.Floats, b: st.Floats) -> float:
    """Return Spearman's rho; NaN where one side does not vary or has no text."""
    if not len(a) or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(st.rank_correlation(np.column_stack([a, b]))[0, 1])


def judge(measured: pd.DataFrame, limits: DriftSettings) -> pd.DataFrame:
    """Return the measures with their q in place of p, what of them is sure, and whether the question moved."""
    table = measured.drop(columns=["constant_before", *(f"p_{name}" for name in MEASURES)])
    q = st.q_values(measured[[f"p_{name}" for name in MEASURES]].to_numpy())
    excess = np.zeros(len(table))
    for number, (name, limit) in enumerate(MEASURES.items()):
        table[f"q_{name}"] = q[:, number]
        table[f"sure_{name}"] = np.where(q[:, number] < limits.alpha, table[name].fillna(0.0), 0.0)
        allowed = max(getattr(limits, limit), np.finfo(np.float32).tiny)
        excess = np.maximum(excess, table[f"sure_{name}"].abs() / allowed)
    constant = measured["yes_rate"].isin([0.0, 1.0]) & ~measured["constant_before"]
    table["new_constant"] = (constant & (table["q_rate_change"] < limits.alpha)).astype(int)
    table["excess"] = excess
    table["moved"] = (excess > 1) | (table["new_constant"] == 1)
    return table
