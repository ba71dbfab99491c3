"""Has a question moved between two versions of its answers? Effect sizes and p-values, pure functions on arrays.

Versions may share texts, all or some of them. `before` holds a row per text of the reference, `now` a row per text of
the new matrix; `common` pairs the rows of texts that are in both.

How far one question moved, by each measure, and whether that is beyond its limit and no chance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from qaemb.settings import DriftSettings
from qaemb.stats import Floats, q_values
from qaemb.validation.drift.accepted import Version


@dataclass(frozen=True, eq=False)
class Common:
    """Rows of the texts that both versions have: `before[i]` and `now[i]` are the same text, (n,) each."""

    before: NDArray[np.int64]
    now: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.before)


def p_of_mean_change(before: Floats, now: Floats, common: Common) -> float:
    """Return the two-sided p of the change of a mean between (n,) and (m,) values, some of them of the same texts.

    A z-test with the variance that holds if nothing changed: that of all values about their joint mean, less what
    common texts share. Where all texts are common it is McNemar's test (for 0/1 values), where none is the pooled test
    of two proportions. 1 where the means are equal or a version has no value.
    """
    n, m = len(before), len(now)
    if not n or not m:
        return 1.0
    change = now.mean() - before.mean()
    if change == 0:
        return 1.0
    middle = np.concatenate([before, now]).mean()
    a, b = before - middle, now - middle
    shared = 2 * float(a[common.before] @ b[common.now]) / (n * m)
    variance = (float(a @ a) + float(b @ b)) / (n + m) * (1 / n + 1 / m) - shared
    return float(2 * stats.norm.sf(abs(change) / np.sqrt(variance))) if variance > 0 else 0.0


def kolmogorov_smirnov(before: Floats, now: Floats) -> tuple[float, float]:
    """Return the largest distance of the two distribution functions, and its p as if no text were common.

    Common texts make the p too large, never too small: their answers are alike.
    """
    if not len(before) or not len(now):
        return 0.0, 1.0
    found = stats.ks_2samp(before, now, method="asymp")
    return float(found.statistic), float(found.pvalue)


def p_of_flips(n_flipped: int, n: int, limit: float) -> float:
    """Return the p of `n_flipped` or more changed answers among `n` if an answer changes with probability `limit`."""
    return float(stats.binom.sf(n_flipped - 1, n, limit))


def p_of_weaker(rho: float, n: int, limit: float) -> float:
    """Return the one-sided p of Spearman's `rho` of `n` texts if it is `limit`; 1 below four texts or for NaN."""
    if n < 4 or np.isnan(rho):
        return 1.0
    r, r0 = (min(max(value, -1 + 1e-12), 1 - 1e-12) for value in (rho, limit))
    return float(stats.norm.cdf((np.arctanh(r) - np.arctanh(r0)) * np.sqrt((n - 3) / (1 + r0**2 / 2))))


def rank_correlation(margin: Floats) -> Floats:
    """Return Spearman's rho of the columns (q, q) of margins (n, q); 0 with a question that never varies."""
    ranks = stats.rankdata(margin, axis=0)
    ranks -= ranks.mean(axis=0)
    size = np.sqrt((ranks**2).sum(axis=0))
    ranks /= np.where(size > 0, size, 1.0)
    return np.clip(ranks.T @ ranks, -1.0, 1.0)


def p_of_stronger(before: Floats, n: int, now: Floats, m: int) -> Floats:
    """Return the one-sided p of |rho| having grown, elementwise, from `n` and `m` texts.

    Fisher's z with the variance of Bonett and Wright (2000) for ranks: (1 + rho^2 / 2) / (n - 3). 1 below four texts.
    """
    if min(n, m) < 4:
        return np.ones(before.shape)
    sizes = [np.minimum(np.abs(rho), 1 - 1e-12) for rho in (before, now)]
    variance = sum((1 + rho**2 / 2) / (count - 3) for rho, count in zip(sizes, (n, m), strict=True))
    return stats.norm.sf((np.arctanh(sizes[1]) - np.arctanh(sizes[0])) / np.sqrt(variance))


# Measures of a question, and the setting that limits each.
MEASURES = {
    "rate_change": "max_rate_change",
    "ks": "max_ks",
    "mass_change": "max_mass_change",
    "flipped": "max_flipped",
    "reordered": "max_reordered",
}


def measure(
    before: Version, now: Version, names: tuple[str, str, str], common: Common, limits: DriftSettings
) -> dict[str, object]:
    """Return effect sizes and their p for one question: (its id, its name before, its name now)."""
    key, old, new = names
    a, b = (table[name].to_numpy(np.float64) for table, name in ((before.margin, old), (now.margin, new)))
    mass_a, mass_b = (table[name].to_numpy(np.float64) for table, name in ((before.mass, old), (now.mass, new)))
    yes_a, yes_b = (a > 0).astype(np.float64), (b > 0).astype(np.float64)
    ks, p_ks = kolmogorov_smirnov(a, b)
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
        "p_rate_change": p_of_mean_change(yes_a, yes_b, common),
        "p_ks": p_ks,
        "p_mass_change": p_of_mean_change(mass_a, mass_b, common),
        "p_flipped": p_of_flips(n_flipped, len(common), limits.max_flipped) if len(common) else 1.0,
        "p_reordered": p_of_weaker(rho, len(common), 1.0 - limits.max_reordered),
    }


def _rho(a: Floats, b: Floats) -> float:
    """Return Spearman's rho; NaN where one side does not vary or has no text."""
    if not len(a) or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(rank_correlation(np.column_stack([a, b]))[0, 1])


def judge(measured: pd.DataFrame, limits: DriftSettings) -> pd.DataFrame:
    """Return the measures with their q in place of p, what of them is sure, and whether the question moved."""
    table = measured.drop(columns=["constant_before", *(f"p_{name}" for name in MEASURES)])
    q = q_values(measured[[f"p_{name}" for name in MEASURES]].to_numpy())
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
