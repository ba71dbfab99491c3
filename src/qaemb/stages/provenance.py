"""`qaemb answers show`: every answer that the store has about a segment, and how each was made."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from tqdm import tqdm

from qaemb.answers import open_answerer
from qaemb.answers.provenance import Provenance
from qaemb.answers.store import Store, store_keys
from qaemb.errors import BadInput, QaembError
from qaemb.files import read_table
from qaemb.identity import text_id
from qaemb.settings import Settings
from qaemb.workspace import Workspace


@dataclass(frozen=True)
class _Answer:
    """One cell and the block that it is from."""

    question_id: str
    margin: float
    mass: float
    block: str
    provenance: Provenance | None


def show(settings: Settings, workspace: Workspace, segment: str, question: str | None) -> None:
    """Print all answers about a segment (its id, the beginning of it, or its text), per answerer.

    `question`: a name or id; only answers to it. BadInput if no segment, or more than one, is meant.
    """
    segment_id, text = _segment(settings, workspace, segment)
    names = _question_names(workspace)
    wanted = None if question is None else _question(names, question)
    print(f"segment {segment_id}: {text!r}")
    answerers = _answerer_names(settings, workspace)
    address, n_found = workspace.store(settings.answers.store), 0
    for key in tqdm(store_keys(address), desc="show", unit="answerer", leave=False):
        store = Store(address, key)
        found = [one for one in _answers(store, segment_id) if wanted in (None, one.question_id)]
        if found:
            print(f"\n{answerers.get(key, 'an answerer that is not in params.yaml')}, key {key}: {_spec(store.spec())}")
            print(_lines(found, names))
        n_found += len(found)
    if not n_found:
        print(f"no answer in {address}")


def _answers(store: Store, segment_id: str) -> Iterator[_Answer]:
    seen: set[str] = set()
    for block in store.blocks():
        segments = block.segment_ids
        if segment_id not in segments:
            continue
        row = segments.index(segment_id)
        new = [name for name in block.question_ids if name not in seen]  # of blocks that overlap the first counts
        seen.update(new)
        own = block.answers(new)
        for column, name in enumerate(new):
            margin, mass = float(own.margin[row, column]), float(own.mass[row, column])
            yield _Answer(name, margin, mass, block.name, block.provenance)


def _lines(answers: list[_Answer], names: Mapping[str, tuple[str, str]]) -> str:
    rows = []
    for one in answers:
        made = one.provenance
        packages = ", ".join(f"{name} {version}" for name, version in (made.packages if made else {}).items())
        rows.append(
            {
                "question": names.get(one.question_id, (one.question_id, ""))[0],
                "answer": "yes" if one.margin > 0 else "no",
                "P(yes)": f"{1 / (1 + math.exp(-min(max(one.margin, -500.0), 500.0))):.4f}",
                "margin": f"{one.margin:.4f}",
                "mass": f"{one.mass:.4f}",
                "answered": made.answered_at if made else "unknown",
                "engine": made.engine if made else "unknown",
                "with": (made.source if made and made.source else packages) or "-",
                "block": one.block.split("-")[2][:12],
            }
        )
    return pd.DataFrame(rows).to_string(index=False)


def _spec(spec: Mapping[str, Any] | None) -> str:
    """Return what is in a key in a line: model digest, prompt, dtype."""
    if spec is None:
        return "spec.json is missing"
    prompt = spec.get("prompt")
    told = dict(spec) | ({"prompt": prompt.get("name", "?")} if isinstance(prompt, dict) else {})
    return ", ".join(f"{name} {value}" for name, value in told.items() if isinstance(value, str | int | float))


def _segment(settings: Settings, workspace: Workspace, wanted: str) -> tuple[str, str]:
    texts: dict[str, str] = {}
    for name in settings.segments:
        if (workspace.segments(name) / "segments.parquet").exists():
            table = read_table(workspace.segments(name) / "segments.parquet", ["segment_id", "text"])
            texts.update(zip(table["segment_id"], table["text"], strict=True))
    own = text_id(wanted)
    found = [own] if own in texts else [name for name in texts if name.startswith(wanted)]
    if len(found) != 1:
        problem = f"{len(found)} segments begin so" if found else "no segment has this id or text"
        raise BadInput(f"`{wanted}`: {problem}; give an id of data/work/segments/NAME/segments.parquet, or its text")
    return found[0], texts[found[0]]


def _question_names(workspace: Workspace) -> dict[str, tuple[str, str]]:
    table = read_table(workspace.questions / "questions.parquet", ["question_id", "name", "text"])
    return {str(own): (str(name), str(text)) for own, name, text in table.itertuples(index=False)}


def _question(names: Mapping[str, tuple[str, str]], wanted: str) -> str:
    found = [question_id for question_id, own in names.items() if wanted in (question_id, *own)]
    if not found:
        raise BadInput(f"no question `{wanted}`; give a name, id or text of data/work/questions/questions.parquet")
    return found[0]


def _answerer_names(settings: Settings, workspace: Workspace) -> dict[str, str]:
    """Return key -> name in params.yaml, of those answerers whose key can be told here."""
    names = {}
    for name in settings.answers.spec:
        try:
            answerer = open_answerer(name, settings.answers.spec, workspace.model, workspace.root)
            names[answerer.key] = name
        except QaembError:
            continue  # its model is not made here; its answers are shown without a name
    return names
