"""The report on drift as files: a page that needs no network, and its tables as CSV."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from qaemb.files import write_text
from qaemb.validation.drift.compare import Drift
from qaemb.validation.drift.texts import telling_texts
from qaemb.validation.drift.words import direction, headline, notes

PAGE = "drift.html"


def write_report(drift: Drift, folder: Path) -> pd.DataFrame:
    """Write drift.html, drift_questions.csv, drift_pairs.csv and drift_texts.csv; return the texts that they show."""
    texts = telling_texts(drift)
    tables = {"questions": drift.questions, "pairs": drift.pairs, "texts": texts}
    for name, table in tables.items():
        table.to_csv(folder / f"drift_{name}.csv", index=False)
    write_text(folder / PAGE, page(drift, texts))
    return texts


def page(drift: Drift, texts: pd.DataFrame) -> str:
    """Return the page as HTML."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("qaemb.validation.drift", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    moved = [
        (row, direction(row, drift.limits), list(texts[texts["name"] == row.name].itertuples()))
        for row in drift.moved.itertuples()
    ]
    asked = {question.name: question.text for question in drift.now.questions}
    return environment.get_template("page.html").render(
        drift=drift,
        headline=headline(drift),
        notes=notes(drift),
        moved=moved,
        asked=asked,
        pairs=list(drift.pairs.itertuples()),
    )
