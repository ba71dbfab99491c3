"""What moved between a reference and the answers now: per question, and pairs of questions that became the same.

The limits on drift as rules that Great Expectations runs: one table of questions, one of pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from tqdm import tqdm

from qaemb.errors import BadInput
from qaemb.settings import DriftSettings
from qaemb.stats import q_values
from qaemb.validation.drift import statistics as st
from qaemb.validation.drift.accepted import KEY, Reference, Version, sampled
from qaemb.validation.drift.statistics import MEASURES, judge, measure
from qaemb.validation.rules import Rule, Table

PAIR_COLUMNS = ["first", "second", "rho_before", "rho", "q"]


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
    common: st.Common
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


def compare(reference: Reference, now: Version, limits: DriftSettings) -> Drift:
    """Return what moved; both versions are whole (`is_whole`). BadInput if they share no question.

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
    common = _common(before, now)
    constant_before = reference.summary.set_index("name")["yes_rate"].isin([0.0, 1.0])
    columns = [(key, old[key], new[key]) for key in shared]
    rows = [
        measure(before, now, names, common, limits) | {"constant_before": bool(constant_before[names[1]])}
        for names in tqdm(columns, desc="drift", unit="question", leave=False, delay=2)
    ]
    return Drift(
        reference=reference,
        now=now,
        limits=limits,
        common=common,
        questions=judge(pd.DataFrame(rows), limits),
        pairs=_pairs(before, now, columns, limits),
        added=tuple(name for key, name in new.items() if key not in old),
        removed=tuple(name for key, name in old.items() if key not in new),
        renamed={old[key]: new[key] for key in shared if old[key] != new[key]},
    )


def _common(before: Version, now: Version) -> st.Common:
    rows = pd.Index(now.margin[KEY]).get_indexer(pd.Index(before.margin[KEY]))
    there = np.flatnonzero(rows >= 0)
    return st.Common(there.astype(np.int64), rows[there].astype(np.int64))


def _pairs(before: Version, now: Version, columns: list[tuple[str, str, str]], limits: DriftSettings) -> pd.DataFrame:
    """Return the pairs of questions whose answers became the same; q is over all pairs of shared questions."""
    names = [new for _, _, new in columns]
    sample = sampled(now, len(before.margin))  # as many texts as the reference has are enough
    old = st.rank_correlation(before.margin[[name for _, name, _ in columns]].to_numpy(np.float64))
    new = st.rank_correlation(sample.margin[names].to_numpy(np.float64))
    first, second = np.triu_indices(len(names), 1)
    rho_before, rho = old[first, second], new[first, second]
    q = q_values(st.p_of_stronger(rho_before, len(before.margin), rho, len(sample.margin)))
    same = (np.abs(rho) >= limits.redundant_r) & (np.abs(rho) - np.abs(rho_before) >= limits.min_r_rise)
    found = np.flatnonzero(same & (q < limits.alpha))
    rows = [(names[first[i]], names[second[i]], rho_before[i], rho[i], q[i]) for i in found]
    return pd.DataFrame(rows, columns=PAIR_COLUMNS).sort_values("rho", key=np.abs, ascending=False, ignore_index=True)


def drift_figures(drift: Drift) -> dict[str, object]:
    """Return a comparison's figures for validation.json; the largest changes are those that are no chance."""
    table = drift.questions
    return {
        "reference": drift.reference.name,
        "accepted_at": drift.reference.accepted_at,
        "on_drift": drift.limits.on_drift,
        "n_common_texts": len(drift.common),
        "n_moved": len(drift.moved),
        "n_new_constant": int(table["new_constant"].sum()),
        "n_new_redundant": len(drift.pairs),
        "largest_rate_change": float(table["sure_rate_change"].abs().max()),
        "largest_ks": float(table["sure_ks"].max()),
        "moved": drift.moved["name"].tolist(),
    }


QUESTIONS, PAIRS = DRIFT_TABLES = "drift_questions", "drift_pairs"


def drift_tables(drift: Drift) -> list[Table]:
    """Return the tables and rules of a comparison; a measure that may be chance counts as 0 (see `Drift`)."""
    limits = drift.limits
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
        Table(QUESTIONS, drift.questions[names], rules, names="name"),
        Table(PAIRS, drift.pairs, (pairs,)),
    ]


def _within(measure: str, says: str, limit: float, both_ways: bool = False) -> Rule:
    bounds = {"min_value": -limit, "max_value": limit} if both_ways else {"max_value": limit}
    return Rule(
        "ExpectColumnValuesToBeBetween",
        f"{says} {limit:g} since the reference",
        {"column": f"sure_{measure}", **bounds},
    )
