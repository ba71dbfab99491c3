"""A comparison in words: one line, what a reader needs to judge it, what moved and which way, the printed report.

The report on drift as files: a page that needs no network, and its tables as CSV.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from qaemb.errors import listed
from qaemb.files import write_text
from qaemb.validation.drift.compare import Drift
from qaemb.validation.drift.statistics import MEASURES
from qaemb.validation.drift.texts import CHANGED, telling_texts

_MAX_PRINTED = 10  # questions with their texts; the page has all
_NAMES = {
    "rate_change": "the yes rate",
    "ks": "the margins",
    "mass_change": "the mass",
    "flipped": "flipped answers",
    "reordered": "the order of texts",
}
_WIDTH = 100  # characters of a printed text


def headline(drift: Drift) -> str:
    """Return what was found in one sentence."""
    origin, n = drift.now.origin, len(drift.questions)
    against = f"{origin.job} against reference {drift.reference.name}"
    parts = []
    if len(drift.moved):
        parts.append(f"{len(drift.moved)} of {n} questions moved ({listed(drift.moved['name'])})")
    else:
        parts.append(f"none of {n} questions moved")
    if drift.questions["new_constant"].any():
        parts.append(f"{int(drift.questions['new_constant'].sum())} got both answers and now get one")
    if len(drift.pairs):
        pairs = "1 pair" if len(drift.pairs) == 1 else f"{len(drift.pairs)} pairs"
        parts.append(f"{pairs} of questions became the same")
    return f"{against}: {', '.join(parts)}"


def notes(drift: Drift) -> list[str]:
    """Return what a reader must know to judge the numbers: answerers, texts, questions that only one side has."""
    before, now = drift.before.origin, drift.now.origin
    told = [_answerers(drift), _texts(drift)]
    if len(drift.moved):
        told.append(f"Beyond their limits: {_measures(drift)}.")
        if len(drift.common):
            rho = 1 - drift.questions["reordered"].median()
            told.append(f"Median rank correlation of margins before and now, on common texts: {rho:.2f}.")
    if before.segmentation != now.segmentation:
        told.append(f"The reference is of segmentation {before.segmentation}, the job of {now.segmentation}.")
    if before.dataset != now.dataset:
        told.append(f"The reference is of data set {before.dataset}, the job of {now.dataset}.")
    for names, what in ((drift.added, "new"), (drift.removed, "no longer asked")):
        if names:
            told.append(f"Not compared, as they are {what}: {', '.join(names)}.")
    if drift.renamed:
        pairs = ", ".join(f"{old} is now {new}" for old, new in drift.renamed.items())
        told.append(f"The same words under another name: {pairs}.")
    return told


def _answerers(drift: Drift) -> str:
    before, now = drift.before.origin, drift.now.origin
    accepted = f"accepted on {drift.reference.accepted_at[:10]}"
    if before.key == now.key:
        same = ", the same matrix" if before.answers_sha256 == now.answers_sha256 else ""
        return f"The same answerer then and now: {now.answerer} (key {now.key}; reference {accepted}){same}."
    return (
        f"Another answerer: {before.answerer} (key {before.key}, {accepted}) then, {now.answerer} (key {now.key}) now."
    )


def _measures(drift: Drift) -> str:
    """Return of how many questions each measure is beyond its limit; a question may count in several."""
    sizes = {name: drift.moved[f"sure_{name}"].abs() for name in MEASURES}
    beyond = {name: int((sizes[name] > getattr(drift.limits, limit)).sum()) for name, limit in MEASURES.items()}
    return ", ".join(f"{_NAMES[name]} of {n}" for name, n in beyond.items())


def _texts(drift: Drift) -> str:
    n_before, n_now, n_common = len(drift.before.margin), len(drift.now.margin), len(drift.common)
    counts = f"{n_before:,} texts of the reference"
    if n_before < drift.before.origin.n_segments:
        counts += f" (a sample of {drift.before.origin.n_segments:,})"
    counts += f", {n_now:,} now"
    if not n_common:
        return f"{counts}, none in common: only distributions are compared, and the texts may be what changed."
    if n_common == n_before == n_now:
        return f"{counts}, the same ones: what moves is the answers."
    return f"{counts}, {n_common:,} in common: flips and order are of these alone, the rest is of all."


def direction(row: Any, limits: Any) -> str:
    """Return which measures of a question are beyond their limits, with direction and size, in words."""
    said: list[str] = []
    for name, limit in MEASURES.items():
        if abs(getattr(row, f"sure_{name}")) > getattr(limits, limit):
            said.append(_SAID[name](row))
    if row.new_constant:
        said.append(f"always {'yes' if row.yes_rate == 1 else 'no'} now")
    return "; ".join(said)


def _rate(row: Any) -> str:
    more = "more" if row.rate_change > 0 else "fewer"
    return f"{more} yes: {row.yes_rate_before:.1%} -> {row.yes_rate:.1%}"


def _margins(row: Any) -> str:
    way = "higher" if row.mean > row.mean_before else "lower"
    spread = f", sd {row.sd_before:.2f} -> {row.sd:.2f}"
    return f"margins {way}: KS {row.ks:.2f}, mean {row.mean_before:+.2f} -> {row.mean:+.2f} nats{spread}"


def _mass(row: Any) -> str:
    return f"{'more' if row.mass_change > 0 else 'less'} mass: {row.mean_mass_before:.2f} -> {row.mean_mass:.2f}"


def _flipped(row: Any) -> str:
    return f"{row.flipped:.1%} of common texts flipped"


def _reordered(row: Any) -> str:
    return f"common texts in another order: rank correlation {1 - row.reordered:.2f}"


_SAID: dict[str, Callable[[Any], str]] = {
    "rate_change": _rate,
    "ks": _margins,
    "mass_change": _mass,
    "flipped": _flipped,
    "reordered": _reordered,
}


def printed(drift: Drift, texts: pd.DataFrame) -> str:
    """Return the report of a terminal: headline, notes, the questions that moved farthest with their texts, pairs."""
    lines = [headline(drift), *(f"  {note}" for note in notes(drift))]
    for row in drift.moved.head(_MAX_PRINTED).itertuples():
        lines.append(f"\n{row.name}: {direction(row, drift.limits)}")
        lines += [f"  {_text(own)}" for own in texts[texts["name"] == row.name].itertuples()]
    if len(drift.moved) > _MAX_PRINTED:
        lines.append(f"\n{len(drift.moved) - _MAX_PRINTED} more questions moved; drift.html has them all")
    for pair in drift.pairs.head(_MAX_PRINTED).itertuples():
        lines.append(f"\n{pair.first} and {pair.second} became the same: rho {pair.rho_before:.2f} -> {pair.rho:.2f}")
    return "\n".join(lines)


def _text(row: Any) -> str:
    before = "    " if math.isnan(row.p_before) else f"{row.p_before:.2f}"
    what = "changed" if row.kind == CHANGED else "extreme"
    words = row.text if len(row.text) <= _WIDTH else f"{row.text[: _WIDTH - 3]}..."
    return f"{what}  P(yes) {before} -> {row.p:.2f}  {words}"


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
