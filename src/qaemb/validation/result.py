"""The verdict on a matrix: what goes into validation.json, and what a user is told when it fails."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from qaemb.validation.checkpoint import Outcome

_N_SAID = 5  # rows named in the message for each rule


def failures(outcomes: list[Outcome]) -> list[Outcome]:
    """Return the outcomes that failed."""
    return [outcome for outcome in outcomes if not outcome.success]


def expectations(outcomes: list[Outcome]) -> list[dict[str, Any]]:
    """Return the outcomes as plain dictionaries for JSON; the same matrix gives the same dictionaries."""
    return [asdict(outcome) for outcome in outcomes]


def failure_message(job: str, outcomes: list[Outcome], docs: Path) -> str:
    """Return what a user reads: the job, per broken rule the questions or segments and values, where to look."""
    lines = [f"  {outcome.table}: expected that {outcome.says}; {_found(outcome)}" for outcome in failures(outcomes)]
    return "\n".join(
        [
            f"answers job `{job}` failed validation; the stages behind it do not run:",
            *lines,
            f"Look at {docs / 'index.html'}; then correct the answerer or the limits in params.yaml (`validate`).",
        ]
    )


def _found(outcome: Outcome) -> str:
    if outcome.failing:
        named = [
            f"`{name}`" if value in (None, name) else f"`{name}` has {outcome.column} = {_number(value)}"
            for name, value in list(outcome.failing.items())[:_N_SAID]
        ]
        more = outcome.n_failing - len(named)
        return "but " + ", ".join(named) + (f" and {more} more" if more > 0 else "")
    observed = outcome.observed
    if isinstance(observed, dict) and "missing" in observed:
        said = [
            f"{key} {', '.join(f'`{name}`' for name in observed[key])}"
            for key in ("missing", "unknown")
            if observed[key]
        ]
        return "but " + ("; ".join(said) or "their order or number differs")
    return f"but found {observed}"


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
