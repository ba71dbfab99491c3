"""What moved between a reference and the answers now: per question, and pairs of questions that became the same.

A question has five measures, each with an effect size and a p. It moved where a measure is beyond its limit and the
change is no chance. The two versions may share texts, all or some of them. In the functions on arrays `before` holds a
row per text of the reference, `now` a row per text of the new matrix.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from tqdm import tqdm

from qaemb.errors import BadInput
from qaemb.settings import DriftSettings
from qaemb.stats import Floats, q_values
from qaemb.validation.drift.accepted import KEY, Reference, Version
from qaemb.validation.rules import Rule, Table

QUESTIONS, PAIRS = DRIFT_TABLES = "drift_questions", "drift_pairs"
PAIR_COLUMNS = ["first", "second", "rho_before", "rho", "q"]

# Measures of a question, and the setting that limits each.
MEASURES = {
    "rate_change": "max_rate_change",
    "ks": "max_ks",
    "mass_change": "max_mass_change",
    "flipped": "max_flipped",
    "reordered": "max_reordered",
}


@dataclass(frozen=True, eq=False)
class _Common:
    """Rows of the texts that both versions have: `before[i]` and `now[i]` are the same text, (n,) each."""

    before: NDArray[np.int64]
    now: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.before)


@dataclass(frozen=True, eq=False)
class Drift:
    """What a comparison found; `before` is a sample of the reference, `now` the whole matrix.

    `questions`: a row per question that both have, in the order of now. `name`, `question_id`; `yes_rate_before`,
    `yes_rate`, `rate_change`; `ks`; `mean_before`, `mean`, `sd_before`, `sd` of margins in nats; `mean_mass_before`,
    `mean_mass`, `mass_change`; `flipped`, the share of common texts whose answer changed between yes and no, and
    `reordered`, 1 - Spearman's rho of their margins before and now (both NaN without common texts); `q_*` of the five
    measures; `sure_*`, the measure where its q is below alpha, else 0; `new_constant` (0/1); `excess`, the largest sure
    measure over its limit; `moved` (bool).
    `pairs`: PAIR_COLUMNS, a row per pair of questions whose answers became the same.
    `added`, `removed`: questions that only now, only the reference has; `renamed`: name before -> name now.
    """

    reference: Reference
    now: Version
    limits: DriftSettings
    common: _Common
    questions: pd.DataFrame
    pairs: pd.DataFrame
    added: tuple[str, ...]
    removed: tuple[str, ...]
    renamed: dict[str, str]

    @property
    def before(self) -> Version:
        """The reference's sample."""
        return self.reference.sample

    @cached_property
    def moved(self) -> pd.DataFrame:
        """The questions that moved, the farthest beyond its limit first."""
        moved = self.questions[self.questions["moved"]]
        return moved.sort_values("excess", ascending=False, kind="stable", ignore_index=True)

    def figures(self) -> dict[str, object]:
        """Return the figures for validation.json; the largest changes are those that are no chance."""
        table = self.questions
        return {
            "reference": self.reference.name,
            "accepted_at": self.reference.accepted_at,
            "on_drift": self.limits.on_drift,
            "n_common_texts": len(self.common),
            "n_moved": len(self.moved),
            "n_new_constant": int(table["new_constant"].sum()),
            "n_new_redundant": len(self.pairs),
            "largest_rate_change": float(table["sure_rate_change"].abs().max()),
            "largest_ks": float(table["sure_ks"].max()),
            "moved": self.moved["name"].tolist(),
        }

    def tables(self) -> list[Table]:
        """Return the tables to check and the limits as rules on them; a measure that may be chance counts as 0."""
        limits = self.limits
        names = ["name", *(f"sure_{name}" for name in MEASURES), "new_constant"]
        rules = (
            _within("rate_change", "the yes rate moved by at most", limits.max_rate_change, both_ways=True),
            _within("ks", "the Kolmogorov-Smirnov distance of the margins is at most", limits.max_ks),
            _within("mass_change", "the mean mass moved by at most", limits.max_mass_change, both_ways=True),
            _within("flipped", "the share of common texts with another yes/no is at most", limits.max_flipped),
            _within("reordered", "1 - Spearman's rho of the margins of common texts is at most", limits.max_reordered),
            Rule(
                "ExpectColumnSumToBeBetween",
                f"at most {limits.max_new_constant} questions get one answer only, and got both",
                {"column": "new_constant", "max_value": limits.max_new_constant},
            ),
        )
        pairs = Rule(
            "ExpectTableRowCountToBeBetween",
            f"at most {limits.max_new_redundant} pairs of questions became the same",
            {"min_value": 0, "max_value": limits.max_new_redundant},
        )
        return [
            Table(QUESTIONS, self.questions[names], rules, names="name"),
            Table(PAIRS, self.pairs, (pairs,)),
        ]


def compare(reference: Reference, now: Version, limits: DriftSettings) -> Drift:
    """Return what moved; both versions are whole (`Matrix.is_whole`). BadInput if they share no question.

    A measure counts where it is beyond its limit and its change is no chance: q below `limits.alpha`, by Benjamini and
    Hochberg over all questions and measures.
    """
    before = reference.sample
    old = {question.question_id: question.name for question in before.questions}
    new = {question.question_id: question.name for question in now.questions}
    shared = [key for key in new if key in old]
    if not shared:
        raise BadInput(
            f"reference `{reference.name}` and job `{now.origin.job}` share no question (set "
            f"`{before.origin.question_set}` then, `{now.origin.question_set}` now); name another reference, or make "
            f"one with `qaemb drift accept {now.origin.job} --as NAME`"
        )
    common = _common_texts(before, now)
    constant_before = reference.summary.set_index("name")["yes_rate"].isin([0.0, 1.0])
    columns = [(key, old[key], new[key]) for key in shared]
    rows = [
        _measure(before, now, names, common, limits) | {"constant_before": bool(constant_before[names[1]])}
        for names in tqdm(columns, desc="drift", unit="question", leave=False, delay=2)
    ]
    return Drift(
        reference=reference,
        now=now,
        limits=limits,
        common=common,
        questions=_judge(pd.DataFrame(rows), limits),
        pairs=_pairs(before, now, columns, limits),
        added=tuple(name for key, name in new.items() if key not in old),
        removed=tuple(name for key, name in old.items() if key not in new),
        renamed={old[key]: new[key] for key in shared if old[key] != new[key]},
    )


def _common_texts(before: Version, now: Version) -> _Common:
    rows = pd.Index(now.margin[KEY]).get_indexer(pd.Index(before.margin[KEY]))
    both = np.flatnonzero(rows >= 0)
    return _Common(both.astype(np.int64), rows[both].astype(np.int64))


def _pairs(before: Version, now: Version, columns: list[tuple[str, str, str]], limits: DriftSettings) -> pd.DataFrame:
    """Return the pairs of questions whose answers became the same; q is over all pairs of shared questions."""
    names = [new for _, _, new in columns]
    sample = now.sample(len(before.margin))  # as many texts as the reference has are enough
    old = _rank_correlation(before.margin[[name for _, name, _ in columns]].to_numpy(np.float64))
    new = _rank_correlation(sample.margin[names].to_numpy(np.float64))
    first, second = np.triu_indices(len(names), 1)
    rho_before, rho = old[first, second], new[first, second]
    q = q_values(_p_of_stronger(rho_before, len(before.margin), rho, len(sample.margin)))
    same = (np.abs(rho) >= limits.redundant_r) & (np.abs(rho) - np.abs(rho_before) >= limits.min_r_rise)
    places = np.flatnonzero(same & (q < limits.alpha))
    rows = [(names[first[i]], names[second[i]], rho_before[i], rho[i], q[i]) for i in places]
    return pd.DataFrame(rows, columns=PAIR_COLUMNS).sort_values("rho", key=np.abs, ascending=False, ignore_index=True)


def _measure(
    before: Version, now: Version, names: tuple[str, str, str], common: _Common, limits: DriftSettings
) -> dict[str, object]:
    """Return effect sizes and their p for one question: (its id, its name before, its name now)."""
    key, old, new = names
    a, b = (table[name].to_numpy(np.float64) for table, name in ((before.margin, old), (now.margin, new)))
    mass_a, mass_b = (table[name].to_numpy(np.float64) for table, name in ((before.mass, old), (now.mass, new)))
    yes_a, yes_b = (a > 0).astype(np.float64), (b > 0).astype(np.float64)
    ks, p_ks = _kolmogorov_smirnov(a, b)
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
        "p_rate_change": _p_of_mean_change(yes_a, yes_b, common),
        "p_ks": p_ks,
        "p_mass_change": _p_of_mean_change(mass_a, mass_b, common),
        "p_flipped": _p_of_flips(n_flipped, len(common), limits.max_flipped) if len(common) else 1.0,
        "p_reordered": _p_of_weaker(rho, len(common), 1.0 - limits.max_reordered),
    }


def _rho(a: Floats, b: Floats) -> float:
    """Return Spearman's rho; NaN where one side does not vary or has no text."""
    if not len(a) or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(_rank_correlation(np.column_stack([a, b]))[0, 1])


def _judge(measured: pd.DataFrame, limits: DriftSettings) -> pd.DataFrame:
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


def _within(measure: str, says: str, limit: float, both_ways: bool = False) -> Rule:
    bounds = {"min_value": -limit, "max_value": limit} if both_ways else {"max_value": limit}
    return Rule(
        "ExpectColumnValuesToBeBetween",
        f"{says} {limit:g} since the reference",
        {"column": f"sure_{measure}", **bounds},
    )


def _p_of_mean_change(before: Floats, now: Floats, common: _Common) -> float:
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


def _kolmogorov_smirnov(before: Floats, now: Floats) -> tuple[float, float]:
    """Return the largest distance of the two distribution functions, and its p as if no text were common.

    Common texts make the p too large, never too small: their answers are alike.
    """
    if not len(before) or not len(now):
        return 0.0, 1.0
    result = stats.ks_2samp(before, now, method="asymp")
    return float(result.statistic), float(result.pvalue)


def _p_of_flips(n_flipped: int, n: int, limit: float) -> float:
    """Return the p of `n_flipped` or more changed answers among `n` if an answer changes with probability `limit`."""
    return float(stats.binom.sf(n_flipped - 1, n, limit))


def _p_of_weaker(rho: float, n: int, limit: float) -> float:
    """Return the one-sided p of Spearman's `rho` of `n` texts if it is `limit`; 1 below four texts or for NaN."""
    if n < 4 or np.isnan(rho):
        return 1.0
    r, r0 = (min(max(value, -1 + 1e-12), 1 - 1e-12) for value in (rho, limit))
    return float(stats.norm.cdf((np.arctanh(r) - np.arctanh(r0)) * np.sqrt((n - 3) / (1 + r0**2 / 2))))


def _rank_correlation(margin: Floats) -> Floats:
    """Return Spearman's rho of the columns (q, q) of margins (n, q); 0 with a question that never varies."""
    ranks = stats.rankdata(margin, axis=0)
    ranks -= ranks.mean(axis=0)
    size = np.sqrt((ranks**2).sum(axis=0))
    ranks /= np.where(size > 0, size, 1.0)
    return np.clip(ranks.T @ ranks, -1.0, 1.0)


def _p_of_stronger(before: Floats, n: int, now: Floats, m: int) -> Floats:
    """Return the one-sided p of |rho| having grown, elementwise, from `n` and `m` texts.

    Fisher's z with the variance of Bonett and Wright (2000) for ranks: (1 + rho^2 / 2) / (n - 3). 1 below four texts.
    """
    if min(n, m) < 4:
        return np.ones(before.shape)
    sizes = [np.minimum(np.abs(rho), 1 - 1e-12) for rho in (before, now)]
    variance = sum((1 + rho**2 / 2) / (count - 3) for rho, count in zip(sizes, (n, m), strict=True))
    return stats.norm.sf((np.arctanh(sizes[1]) - np.arctanh(sizes[0])) / np.sqrt(variance))
