"""Readers of gold sets, one per format. Each returns a GoldSet; errors name the file and the row.

The reader of D3 also turns task descriptions ("contains irony") into yes/no questions.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from qaemb.errors import BadInput, require_name
from qaemb.files import read_json, read_table
from qaemb.questions import Question, load_set
from qaemb.rows import csv_rows, json_rows
from qaemb.validation.gold_set import GoldSet, GoldSetBuilder

_YES_NO = {"1": 1.0, "0": 0.0, "true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0}


@dataclass(frozen=True)
class GoldSource:
    """Where gold comes from: the user's file or folder, D3's hand table, and the project's own tables."""

    path: Path
    hand_table: Path | None
    dataset: Path
    questions: Path


def read_gold(gold: str, kind: str, source: GoldSource) -> GoldSet:
    """Return the gold set named `gold` (`miniature`, or a path) in the format `kind` (a key of READERS, or `auto`).

    BadParameter if there is no such format. BadInput if the path does not tell it, or the reader refuses the file.
    """
    if gold != "miniature" and not source.path.exists():
        raise BadInput(f"{source.path} does not exist; give `miniature`, a file or a folder")
    if kind == "auto":
        kind = _kind_of(gold, source.path)
    require_name([*READERS, "auto"], kind, "gold format")
    if (kind == "miniature") != (gold == "miniature"):
        raise BadInput(f"gold {gold} can't be read in the format {kind}; leave --format out")
    if source.hand_table is not None and kind != "d3":
        raise BadInput(f"--questions is for the format d3 only, and {gold} is read as {kind}; leave it out")
    return READERS[kind](source)


def _read_miniature(source: GoldSource) -> GoldSet:
    """Return the data set's own annotations: every sentence under every question of set `gold` with a property."""
    path = source.dataset / "gold.parquet"
    if not path.exists():
        raise BadInput(
            f"{path} does not exist: the data set in use has no gold; `qaemb use miniature`, then `dvc repro`"
        )
    gold, sentences = read_table(path), read_table(source.dataset / "sentences.parquet", ["story", "index", "text"])
    table = gold.merge(sentences, on=["story", "index"], how="left", validate="one_to_one")
    if table["text"].isna().any():
        first = table[table["text"].isna()].iloc[0]
        raise BadInput(
            f"{path}: story {first['story']}, sentence {first['index']} is not in sentences.parquet; run `dvc repro`"
        )
    questions = [q for q in load_set(source.questions, "gold") if q.property_id in gold.columns]
    builder = GoldSetBuilder("miniature")
    for number, row in enumerate(table.to_dict("records")):
        for question in questions:
            builder.add(row["text"], question, float(row[str(question.property_id)]), f"{path}, row {number}")
    return builder.build(path)


def _read_d3(source: GoldSource) -> GoldSet:
    """Return a D3 folder: `task_defs.json` ({task: phrase}) and TASK.csv (`input,label`) for each task.

    A task's question comes from the hand table, else from the rule. Tasks without a file are left out, with a note.
    """
    if not (source.path / "task_defs.json").is_file():
        raise BadInput(f"{source.path} is no D3 folder; it needs task_defs.json ({{task: phrase}}) and TASK.csv files")
    definitions = read_json(source.path / "task_defs.json")
    if not isinstance(definitions, dict) or not all(isinstance(phrase, str) for phrase in definitions.values()):
        raise BadInput(f"{source.path / 'task_defs.json'}: expected an object {{task: phrase}}")
    table = _read_questions(source.hand_table) if source.hand_table else {}
    builder = GoldSetBuilder(_name(source.path))
    absent = [task for task in definitions if not (source.path / f"{task}.csv").exists()]
    if absent:
        builder.notes.append(f"left out, as there is no file: {', '.join(absent)}")
    tasks: dict[str, str] = {}
    for task, phrase in definitions.items():
        if task in absent:
            continue
        question = Question(task, table.get(phrase.strip()) or _d3_question(task, phrase))
        if tasks.setdefault(question.text, task) != task:
            raise BadInput(
                f"tasks {tasks[question.text]} and {task} both ask `{question.text}`; give another in the YAML"
            )
        path = source.path / f"{task}.csv"
        for place, values in csv_rows(path, ("input", "label")):
            builder.add(values["input"], question, _yes_no(values["label"], place, "label"), place)
    return builder.build(source.path)


def _read_boolq(source: GoldSource) -> GoldSet:
    """Return BoolQ's JSON lines: `question`, `passage`, and `answer` or `label`; a question is asked of its passage."""
    builder = GoldSetBuilder(_name(source.path))
    for number, (place, values) in enumerate(json_rows(source.path), start=1):
        label = values.get("answer", values.get("label"))
        for key in ("question", "passage"):
            if not isinstance(values.get(key), str):
                raise BadInput(f"{place}: `{key}` is missing or is no text")
        text = _as_question(values["question"])
        builder.add(values["passage"], Question(f"row{number}", text), _yes_no(label, place, "answer"), place)
    return builder.build(source.path)


def _read_ratings(source: GoldSource) -> GoldSet:
    """Return a CSV `text,question,rating`; a rating is any finite number, more meaning more of a yes."""
    builder = GoldSetBuilder(_name(source.path), is_rating=True)
    names: dict[str, str] = {}
    for place, values in csv_rows(source.path, ("text", "question", "rating")):
        try:
            rating = float(values["rating"])
        except ValueError:
            rating = math.nan
        if not math.isfinite(rating):
            raise BadInput(f"{place}: rating `{values['rating']}` is not a finite number")
        name = names.setdefault(values["question"], f"q{len(names) + 1}")
        builder.add(values["text"], Question(name, values["question"]), rating, place)
    return builder.build(source.path)


def _as_question(text: str) -> str:
    """Return BoolQ's lower-case question as a sentence: a capital letter first, one question mark last.

    >>> _as_question("is the sea salty")
    'Is the sea salty?'
    """
    stripped = text.strip().rstrip("?").rstrip()
    return f"{stripped[:1].upper()}{stripped[1:]}?" if stripped else ""


def _kind_of(gold: str, path: Path) -> str:
    if gold == "miniature":
        return "miniature"
    if path.is_dir() and (path / "task_defs.json").exists():
        return "d3"
    kind = {".jsonl": "boolq", ".csv": "ratings"}.get(path.suffix.lower())
    if path.is_dir() or kind is None:
        raise BadInput(
            f"{path}: the format can't be told; expected a folder with task_defs.json (d3), a .jsonl file (boolq) or a "
            ".csv file (ratings); or give --format"
        )
    return kind


def _name(path: Path) -> str:
    return re.sub(r"[^\w.-]+", "_", path.resolve().stem)


def _d3_question(task: str, phrase: str) -> str:
    question = _question_of(phrase)
    if question is None:
        raise BadInput(
            f"task {task}: no rule turns the phrase `{phrase}` into a question; give it in the YAML of --questions, as "
            f"a line {json.dumps(phrase)}: 'Does the text ...?'"
        )
    return question


def _yes_no(value: Any, place: str, key: str) -> float:
    label = _YES_NO.get(str(value).strip().lower())
    if label is None:
        raise BadInput(f"{place}: {key} `{value}` is neither 0 nor 1 (nor true, false, yes, no)")
    return label


READERS: dict[str, Callable[[GoldSource], GoldSet]] = {
    "miniature": _read_miniature,
    "d3": _read_d3,
    "boolq": _read_boolq,
    "ratings": _read_ratings,
}


# Only verbs that are listed: a rule that takes any word in -s for a verb would ask "Does the text sport news?".
_BARE = {
    "argues": "argue",
    "asks": "ask",
    "believes": "believe",
    "compares": "compare",
    "contains": "contain",
    "criticizes": "criticize",
    "defines": "define",
    "describes": "describe",
    "discusses": "discuss",
    "explains": "explain",
    "expresses": "express",
    "favors": "favor",
    "gives": "give",
    "has": "have",
    "includes": "include",
    "insults": "insult",
    "involves": "involve",
    "mentions": "mention",
    "opposes": "oppose",
    "provides": "provide",
    "refers": "refer",
    "reports": "report",
    "requests": "request",
    "shows": "show",
    "suggests": "suggest",
    "supports": "support",
    "talks": "talk",
    "thinks": "think",
    "uses": "use",
}


def _question_of(phrase: str) -> str | None:
    """Return the question that asks whether a phrase holds of the text; None where no rule fits.

    Two rules: "is X" gives "Is the text X?"; a listed verb in the third person gives "Does the text VERB ...?". What
    follows stays as it is, so a clumsy phrase gives a clumsy question.

    >>> _question_of("contains irony")
    'Does the text contain irony?'
    >>> _question_of("is about sports")
    'Is the text about sports?'
    """
    first, _, rest = phrase.strip().rstrip(".?").partition(" ")
    if not rest.strip():
        return None
    if first.lower() == "is":
        return f"Is the text {rest.strip()}?"
    bare = _BARE.get(first.lower())
    return f"Does the text {bare} {rest.strip()}?" if bare else None


def _read_questions(path: Path) -> dict[str, str]:
    """Return the hand table of a YAML file: a question for each phrase; BadInput names the file and the entry."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(
            f"{path} can't be read ({error.strerror}); give a YAML file with lines `phrase: question`"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is not valid YAML: {error}") from error
    if not isinstance(values, dict) or not values:
        raise BadInput(f"{path}: expected lines `phrase: question`")
    for phrase, question in values.items():
        if not (isinstance(phrase, str) and isinstance(question, str) and question.strip().endswith("?")):
            raise BadInput(f"{path}: {phrase!r}: expected a question that ends in `?`, not {question!r}")
    return {phrase.strip(): question.strip() for phrase, question in values.items()}
