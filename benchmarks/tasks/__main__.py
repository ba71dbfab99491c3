"""`make bench-tasks`: NLP tasks on the shipped student's answers; writes results/tasks.json and docs/tasks.md's tables.

Needs the stages `questions` and `model` of the default project. A data set whose package is not installed is left out
and named. Answers and vectors are kept in the project's store, so that a second run answers nothing.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.record import RESULTS, write_result
from benchmarks.tasks import classification, clustering, retrieval, similarity
from benchmarks.tasks.part import Part
from qaemb.errors import BadInput
from qaemb.files import write_text
from qaemb.settings import DownstreamSettings, load_settings
from qaemb.stages.downstream import evaluate, metrics_of
from qaemb.workspace import Workspace

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs" / "tasks.md"
PARTS = (retrieval.PART, similarity.PART, classification.PART, clustering.PART)
ANSWERER, ENCODER = "student", "minilm"


def main() -> None:
    """Evaluate the tasks of every kind, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="one task alone; writes into build/")
    only = parser.parse_args().only
    figures: dict[str, dict[str, Any]] = {}
    headline: dict[str, float] = {}
    for part in PARTS:
        tasks = {name: own for name, own in part.tasks.items() if only in (None, name)}
        found = {name: own for name, values in tasks.items() if (own := _run(part, name, values)) is not None}
        if found:
            figures[part.kind] = found
            headline |= part.headline(found)
        if found and not only:
            _write_table(part, found)
    settings = {"answerer": ANSWERER, "encoder": ENCODER}
    print(write_result("tasks", headline, settings, figures, ROOT / "build" if only else RESULTS))
    print(headline)


def _run(part: Part, name: str, values: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a task's metrics and its seconds; None, with a line that says why, where its data is not at hand."""
    task = {"kind": part.kind, "answerer": ANSWERER, "encoder": ENCODER, **values}
    own = DownstreamSettings.model_validate({"tasks": {name: task}}).tasks[name]
    begin = time.perf_counter()
    try:
        result = evaluate(load_settings(ROOT / "params.yaml"), Workspace(ROOT), name, own)
    except BadInput as error:
        print(f"{part.kind} {name} is left out: {error}", flush=True)
        return None
    seconds = round(time.perf_counter() - begin, 1)
    print(f"{part.kind} {name}: {seconds} s; {'; '.join(result.notes)}", flush=True)
    return metrics_of(result) | {"seconds": seconds}


def _write_table(part: Part, found: Mapping[str, Mapping[str, Any]]) -> None:
    """Put a kind's table between its marks in docs/tasks.md."""
    begin, end = (f"<!-- {part.kind}: {mark} -->" for mark in ("begin", "end"))
    text = DOCS.read_text(encoding="utf-8")
    head, tail = text.split(begin)[0], text.split(end)[1]
    write_text(DOCS, head + "\n".join([begin, *part.table(found), end]) + tail)


if __name__ == "__main__":
    main()
