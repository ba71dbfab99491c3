"""Running rules by Great Expectations: an outcome per rule, Data Docs that show them, and the message on a failure."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from qaemb.files import json_value
from qaemb.validation.rules import Rule, Table

_N_MESSAGE = 5  # rows that the message names for each rule
_N_NAMED = 20  # failures that an outcome names; the Data Docs show them all
_RUN = "run"  # in place of the time, in the names of folders
_OF_THE_RUN = (
    (re.compile(r"\d{8}T\d{6}\.\d{6}Z"), _RUN),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(Z| UTC)"), "not recorded"),
    (re.compile(r"('_run_time_sort': )[\d.]+"), r"\g<1>0"),
)
_RANDOM_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Outcome:
    """What one rule found: `observed` sums up the column; `failing` are row names and values where the rule fails."""

    table: str
    type: str
    column: str | None
    says: str
    success: bool
    observed: Any
    failing: dict[str, Any]
    n_failing: int


def failure_message(job: str, failed: list[Outcome], docs: Path) -> str:
    """Return what a user reads: the job, per broken rule the questions or segments and values, where to look."""
    lines = [f"  {outcome.table}: expected that {outcome.says}; {_observation(outcome)}" for outcome in failed]
    return "\n".join(
        [
            f"answers job `{job}` failed validation; the stages behind it do not run:",
            *lines,
            f"Look at {docs / 'index.html'}; then correct the answerer or the limits in params.yaml (`validate`).",
        ]
    )


def _observation(outcome: Outcome) -> str:
    if outcome.failing:
        named = [
            f"`{name}`" if value in (None, name) else f"`{name}` has {outcome.column} = {_number(value)}"
            for name, value in list(outcome.failing.items())[:_N_MESSAGE]
        ]
        more = outcome.n_failing - len(named)
        return "but " + ", ".join(named) + (f" and {more} more" if more > 0 else "")
    observed = outcome.observed
    if isinstance(observed, dict) and "missing" in observed:
        parts = [
            f"{key} {', '.join(f'`{name}`' for name in observed[key])}"
            for key in ("missing", "unknown")
            if observed[key]
        ]
        return "but " + ("; ".join(parts) or "their order or number differs")
    return f"but found {observed}"


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def check(tables: list[Table], docs: Path) -> list[Outcome]:
    """Return the outcome of every rule, in order, and write Data Docs (a static site) into the folder `docs`.

    The same tables give the same outcomes.
    """
    # Read when the package is imported; its answer would be a request to a server outside.
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx

    context: Any = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    context.delete_data_docs_site("local_site")
    context.add_data_docs_site("answers", _site(docs))
    source = context.data_sources.add_pandas("answers")
    outcomes = []
    for table in tables:
        results = _run(gx, context, source, table)
        outcomes += [_outcome(table, rule, result) for rule, result in zip(table.rules, results, strict=True)]
    context.build_data_docs()
    _take_times_out(docs)
    return outcomes


def _take_times_out(docs: Path) -> None:
    """Make the Data Docs of the same matrix the same files: times of the run and random ids would differ each time."""
    for folder in docs.glob("validations/*/*/*"):
        folder.rename(folder.with_name(_RUN))
    for page in docs.rglob("*.html"):
        page.write_text(_without_times(page.read_text(encoding="utf-8")), encoding="utf-8")


def _without_times(page: str) -> str:
    for pattern, replacement in _OF_THE_RUN:
        page = pattern.sub(replacement, page)
    numbers: dict[str, str] = {}
    return _RANDOM_ID.sub(lambda match: numbers.setdefault(match[0], f"id-{len(numbers)}"), page)


def _site(folder: Path) -> dict[str, Any]:
    backend = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder.resolve())}
    index = {"class_name": "DefaultSiteIndexBuilder"}
    return {"class_name": "SiteBuilder", "site_index_builder": index, "store_backend": backend}


def _run(gx: Any, context: Any, source: Any, table: Table) -> list[dict[str, Any]]:
    """Run one table's rules as a checkpoint; return Great Expectations' results in the order of the rules."""
    batch = source.add_dataframe_asset(table.name).add_batch_definition_whole_dataframe("whole")
    suite = context.suites.add(gx.ExpectationSuite(name=table.name))
    for number, rule in enumerate(table.rules):
        expectation = getattr(gx.expectations, rule.expectation)
        suite.add_expectation(expectation(**rule.arguments, description=rule.says, meta={"rule": number}))
    definition = context.validation_definitions.add(gx.ValidationDefinition(name=table.name, data=batch, suite=suite))
    result_format: dict[str, Any] = {"result_format": "COMPLETE"}
    if table.names:
        result_format["unexpected_index_column_names"] = [table.names]
    checkpoint = context.checkpoints.add(
        gx.Checkpoint(name=table.name, validation_definitions=[definition], result_format=result_format)
    )
    (result,) = checkpoint.run(batch_parameters={"dataframe": table.frame}).run_results.values()
    ordered = sorted(result.results, key=lambda item: item.expectation_config.meta["rule"])
    return [item.to_json_dict() for item in ordered]


def _outcome(table: Table, rule: Rule, result: dict[str, Any]) -> Outcome:
    column = rule.arguments.get("column") or rule.arguments.get("column_A")
    details = result.get("result") or {}
    failing: dict[str, Any] = {}
    n_failing = 0
    if table.names and not result["success"]:
        unexpected = details.get("unexpected_index_list") or []
        n_failing = len(unexpected)
        failing = {str(item[table.names]): json_value(item.get(column)) for item in unexpected[:_N_NAMED]}
    return Outcome(
        table=table.name,
        type=result["expectation_config"]["type"],
        column=column,
        says=rule.says,
        success=bool(result["success"]),
        observed=_observed(table.frame, rule, details, result),
        failing=failing,
        n_failing=n_failing,
    )


def _observed(frame: pd.DataFrame, rule: Rule, details: dict[str, Any], result: dict[str, Any]) -> Any:
    errors = [item for item in _exceptions(result.get("exception_info")) if item]
    if errors:
        return {"error": errors[0]}
    if "column_list" in rule.arguments:
        return _difference(rule.arguments["column_list"], [str(name) for name in frame.columns])
    if "observed_value" in details:
        return details["observed_value"]
    column = frame[rule.arguments.get("column", frame.columns[0])]
    if not pd.api.types.is_numeric_dtype(column):
        return {"rows": len(column), "distinct": int(column.nunique())}
    return {"lowest": json_value(column.min()), "highest": json_value(column.max())}


def _exceptions(info: Any) -> list[str | None]:
    if not isinstance(info, dict):
        return []
    if "raised_exception" in info:
        return [info["exception_message"] if info["raised_exception"] else None]
    return [message for item in info.values() for message in _exceptions(item)]


def _difference(expected: list[str], columns: list[str]) -> dict[str, Any]:
    """Return which columns are missing, not known, or there twice, and whether the order is the expected one."""
    return {
        "n_columns": len(columns),
        "missing": [name for name in expected if name not in columns],
        "unknown": [name for name in columns if name not in expected],
        "in_order": [name for name in columns if name in expected] == [name for name in expected if name in columns],
    }
