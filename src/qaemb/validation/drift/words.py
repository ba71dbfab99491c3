"""A comparison in words: its headline, notes, what moved and which way, and the texts that show it.

The report has two forms: the text that a terminal prints, and files, which are a page that needs no network and its
tables as CSV.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qaemb.errors import listed
from qaemb.files import write_text
from qaemb.stats import Floats, probability
from qaemb.validation.drift.accepted import KEY
from qaemb.validation.drift.compare import MEASURES, Drift

_MAX_PRINTED = 10  # questions with their texts; the page has all
_NAMES = {
    "rate_change": "the yes rate",
    "ks": "the margins",
    "mass_change": "the mass",
    "flipped": "flipped answers",
    "reordered": "the order of texts",
}
_WIDTH = 100  # characters of a printed text
_TEXT_COLUMNS = ["name", "kind", KEY, "text", "margin_before", "margin", "p_before", "p"]
_CHANGED, _EXTREME = "changed", "extreme"
PAGE = "drift.html"


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


def _notes(drift: Drift) -> list[str]:
    """Return what a reader must know to judge the numbers: answerers, texts, questions that only one side has."""
    before, now = drift.before.origin, drift.now.origin
    lines = [_answerers(drift), _texts(drift)]
    if len(drift.moved):
        lines.append(f"Beyond their limits: {_measures(drift)}.")
        if len(drift.common):
            rho = 1 - drift.questions["reordered"].median()
            lines.append(f"Median rank correlation of margins before and now, on common texts: {rho:.2f}.")
    if before.segmentation != now.segmentation:
        lines.append(f"The reference is of segmentation {before.segmentation}, the job of {now.segmentation}.")
    if before.dataset != now.dataset:
        lines.append(f"The reference is of data set {before.dataset}, the job of {now.dataset}.")
    for names, what in ((drift.added, "new"), (drift.removed, "no longer asked")):
        if names:
            lines.append(f"Not compared, as they are {what}: {', '.join(names)}.")
    if drift.renamed:
        pairs = ", ".join(f"{old} is now {new}" for old, new in drift.renamed.items())
        lines.append(f"The same words under another name: {pairs}.")
    return lines


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


def _direction(row: Any, limits: Any) -> str:
    """Return which measures of a question are beyond their limits, with direction and size, in words."""
    parts = [
        _PHRASES[name](row)
        for name, limit in MEASURES.items()
        if abs(getattr(row, f"sure_{name}")) > getattr(limits, limit)
    ]
    if row.new_constant:
        parts.append(f"always {'yes' if row.yes_rate == 1 else 'no'} now")
    return "; ".join(parts)


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


_PHRASES: dict[str, Callable[[Any], str]] = {
    "rate_change": _rate,
    "ks": _margins,
    "mass_change": _mass,
    "flipped": _flipped,
    "reordered": _reordered,
}


def printed(drift: Drift, texts: pd.DataFrame) -> str:
    """Return the report of a terminal: headline, notes, the questions that moved farthest with their texts, pairs."""
    lines = [headline(drift), *(f"  {note}" for note in _notes(drift))]
    for row in drift.moved.head(_MAX_PRINTED).itertuples():
        lines.append(f"\n{row.name}: {_direction(row, drift.limits)}")
        lines += [f"  {_text(text)}" for text in texts[texts["name"] == row.name].itertuples()]
    if len(drift.moved) > _MAX_PRINTED:
        lines.append(f"\n{len(drift.moved) - _MAX_PRINTED} more questions moved; drift.html has them all")
    for pair in drift.pairs.head(_MAX_PRINTED).itertuples():
        lines.append(f"\n{pair.first} and {pair.second} became the same: rho {pair.rho_before:.2f} -> {pair.rho:.2f}")
    return "\n".join(lines)


def _text(row: Any) -> str:
    before = "    " if math.isnan(row.p_before) else f"{row.p_before:.2f}"
    what = "changed" if row.kind == _CHANGED else "extreme"
    words = row.text if len(row.text) <= _WIDTH else f"{row.text[: _WIDTH - 3]}..."
    return f"{what}  P(yes) {before} -> {row.p:.2f}  {words}"


def write_report(drift: Drift, folder: Path) -> pd.DataFrame:
    """Write drift.html, drift_questions.csv, drift_pairs.csv and drift_texts.csv; return the texts that they show."""
    texts = _telling_texts(drift)
    tables = {"questions": drift.questions, "pairs": drift.pairs, "texts": texts}
    for name, table in tables.items():
        table.to_csv(folder / f"drift_{name}.csv", index=False)
    write_text(folder / PAGE, _page(drift, texts))
    return texts


def _page(drift: Drift, texts: pd.DataFrame) -> str:
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
        (row, _direction(row, drift.limits), list(texts[texts["name"] == row.name].itertuples()))
        for row in drift.moved.itertuples()
    ]
    return environment.get_template("page.html").render(
        drift=drift,
        headline=headline(drift),
        notes=_notes(drift),
        moved=moved,
        question_texts={question.name: question.text for question in drift.now.questions},
        pairs=list(drift.pairs.itertuples()),
    )


def _telling_texts(drift: Drift, n: int = 3) -> pd.DataFrame:
    """Return _TEXT_COLUMNS, for each question that moved (in the order of `drift.moved`) up to 2 n rows.

    kind `changed`: common texts whose P(yes) changed most, of equal ones those whose margin did. kind `extreme`: texts
    that the reference lacks (if it has all: any) with the highest margin now if margins rose on average, else with the
    lowest. `margin_before` and `p_before` are NaN for a text that the reference lacks.
    """
    old = {question.question_id: question.name for question in drift.before.questions}
    tables = [
        _of_question(drift, old[key], name, n)
        for key, name in zip(drift.moved["question_id"], drift.moved["name"], strict=True)
    ]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=_TEXT_COLUMNS)


def _of_question(drift: Drift, old: str, new: str, n: int) -> pd.DataFrame:
    now = drift.now.margin[new].to_numpy(np.float64)
    before = np.full(len(now), np.nan)
    before[drift.common.now] = drift.before.margin[old].to_numpy(np.float64)[drift.common.before]
    kinds = {_CHANGED: _most_changed(before, now)[:n], _EXTREME: _most_extreme(drift, old, before, now)[:n]}
    rows = np.concatenate(list(kinds.values()))
    ids = drift.now.margin[KEY].to_numpy()[rows]
    return pd.DataFrame(
        {
            "name": new,
            "kind": [kind for kind, rows_of_kind in kinds.items() for _ in rows_of_kind],
            KEY: ids,
            "text": [drift.now.texts.get(key, "") for key in ids],
            "margin_before": before[rows],
            "margin": now[rows],
            "p_before": probability(before[rows]),
            "p": probability(now[rows]),
        }
    )


def _most_changed(before: Floats, now: Floats) -> NDArray[np.int64]:
    """Return the rows of common texts, the most changed first; P(yes) counts in steps of .001."""
    common = np.flatnonzero(np.isfinite(before))
    a, b = before[common], now[common]
    return common[np.lexsort((-np.abs(b - a), -np.abs(probability(b) - probability(a)).round(3)))]


def _most_extreme(drift: Drift, old: str, before: Floats, now: Floats) -> NDArray[np.int64]:
    new_texts = np.flatnonzero(np.isnan(before))
    rows = new_texts if len(new_texts) else np.arange(len(now))
    rose = now.mean() > drift.before.margin[old].mean()
    return rows[np.argsort(-now[rows] if rose else now[rows], kind="stable")]
