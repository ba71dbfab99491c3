"""The limits on drift as rules that Great Expectations runs: one table of questions, one of pairs."""

from __future__ import annotations

from qaemb.validation.drift.compare import Drift
from qaemb.validation.drift.measures import MEASURES
from qaemb.validation.rules import Rule, Table

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
