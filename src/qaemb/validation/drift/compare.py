"""What moved between a reference and the answers now: per question, and pairs of questions that became the same."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from tqdm import tqdm

from qaemb.errors import BadInput
from qaemb.settings import DriftSettings
from qaemb.validation.drift import statistics as st
from qaemb.validation.drift.reference import Reference
from qaemb.validation.drift.version import KEY, Version

# Measures of a question, and the setting that limits each.
MEASURES = {
    "rate_change": "max_rate_change",
    "ks": "max_ks",
    "mass_change": "max_mass_change",
    "flipped": "max_flipped",
}
PAIR_COLUMNS = ["first", "second", "rho_before", "rho", "q"]


@dataclass(frozen=True, eq=False)
class Drift:
    """What a comparison found; `before` is a sample of the reference, `now` the whole matrix.

    `questions`: a row per question that both have, in the order of now. `name`, `question_id`; `yes_rate_before`,
    `yes_rate`, `rate_change`; `ks`; `mean_before`, `mean`, `sd_before`, `sd` of margins in nats; `mean_mass_before`,
    `mean_mass`, `mass_change`; `flipped`, the share of common texts whose answer changed between yes and no, and `rho`,
    Spearman's between their margins before and now (both NaN without common texts); `q_*` of the four measures;
    `sure_*`, the measure where its q is below alpha, else 0; `new_constant` (0/1); `excess`, the largest sure measure
    over its limit; `moved` (bool).
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
        _measure(before, now, names, common, limits) | {"constant_before": bool(constant_before[names[1]])}
        for names in tqdm(columns, desc="drift", unit="question", leave=False, delay=2)
    ]
    return Drift(
        reference=reference,
        now=now,
        limits=limits,
        common=common,
        questions=_judged(pd.DataFrame(rows), limits),
        pairs=_pairs(before, now, columns, limits),
        added=tuple(name for key, name in new.items() if key not in old),
        removed=tuple(name for key, name in old.items() if key not in new),
        renamed={old[key]: new[key] for key in shared if old[key] != new[key]},
    )


def _common(before: Version, now: Version) -> st.Common:
    rows = pd.Index(now.margin[KEY]).get_indexer(pd.Index(before.margin[KEY]))
    there = np.flatnonzero(rows >= 0)
    return st.Common(there.astype(np.int64), rows[there].astype(np.int64))


def _measure(
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
        "rho": st.rank_correlation(np.column_stack([paired_a, paired_b]))[0, 1] if len(common) > 1 else np.nan,
        "p_rate_change": st.p_of_mean_change(yes_a, yes_b, common),
        "p_ks": p_ks,
        "p_mass_change": st.p_of_mean_change(mass_a, mass_b, common),
        "p_flipped": st.p_of_flips(n_flipped, len(common), limits.max_flipped) if len(common) else 1.0,
    }


def _judged(measured: pd.DataFrame, limits: DriftSettings) -> pd.DataFrame:
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


def _pairs(before: Version, now: Version, columns: list[tuple[str, str, str]], limits: DriftSettings) -> pd.DataFrame:
    """Return the pairs of questions whose answers became the same; q is over all pairs of shared questions."""
    names = [new for _, _, new in columns]
    old = st.rank_correlation(before.margin[[name for _, name, _ in columns]].to_numpy(np.float64))
    new = st.rank_correlation(now.margin[names].to_numpy(np.float64))
    first, second = np.triu_indices(len(names), 1)
    rho_before, rho = old[first, second], new[first, second]
    q = st.q_values(st.p_of_stronger(rho_before, len(before.margin), rho, len(now.margin)))
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
