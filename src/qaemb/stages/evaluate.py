"""Command `answers evaluate`: do answerers answer right, and alike? No stage of the pipeline needs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from qaemb.answers import CascadeAnswerer, answerer_settings, open_answerer
from qaemb.answers.plan import Wanted
from qaemb.answers.stored import Stored
from qaemb.errors import BadInput, BadParameter
from qaemb.files import atomic_folder, json_value, write_json
from qaemb.identity import text_id
from qaemb.settings import AnswererSettings, Settings
from qaemb.validation import evaluation as ev
from qaemb.validation.gold_readers import GoldSource, read_gold
from qaemb.validation.gold_set import GoldSet
from qaemb.workspace import Workspace

_MAX_GRID = 200_000_000  # texts x questions that are looked up at once: two float32 grids of 0.8 GB


@dataclass(frozen=True)
class Evaluation:
    """What the user asks for; `gold` is `miniature` or a path, `sample` a number of texts.

    With `prompts`, the one answerer is evaluated under each of them in place of its own.
    """

    answerers: tuple[str, ...]
    gold: str = "miniature"
    format: str = "auto"
    questions: Path | None = None
    sample: int | None = None
    seed: int = 0
    prompts: tuple[str, ...] = ()


def evaluate(settings: Settings, workspace: Workspace, asked: Evaluation) -> None:
    """Print how right and how alike answerers are on a gold set, and write reports/evaluation/GOLD/.

    Labelled cells that the store lacks are answered and kept in it; cells without a label are not asked. BadParameter
    names an unknown answerer or a prompt that can't be put to it, BadInput what is wrong with the gold.
    """
    opened = _open(settings, workspace, asked)
    gold = _gold(workspace, asked)
    for note in gold.notes:
        print(f"evaluate {gold.name}: {note}")
    answers = {name: _answer(stored, gold, settings.answers.block_texts) for name, stored in opened.items()}
    low_mass = settings.validate_.low_mass
    tables = {name: ev.per_question(gold, found, low_mass) for name, found in answers.items()}
    summaries = {
        name: {**_identity(opened[name]), **ev.overall(gold, answers[name], tables[name], low_mass, asked.seed)}
        for name in answers
    }
    alike = ev.agreement(gold, answers)
    spread = ev.sensitivity(gold, answers) if len(asked.prompts) > 1 else None
    summary = _summary(gold, asked, summaries, alike, spread)
    print(_report(gold, asked, tables, spread, summary))
    folder = workspace.reports / "evaluation" / gold.name
    with atomic_folder(folder) as new:
        _joined(tables).to_csv(new / "per_question.csv", index=False)
        alike.to_csv(new / "agreement.csv", index=False)
        if spread is not None:
            spread.to_csv(new / "sensitivity.csv", index=False)
        if not gold.is_rating:
            _write_reliability(new, gold, answers)
        write_json(new / "summary.json", json_value(summary, digits=6))
    print(f"evaluate: {gold.n_cells:,} cells of {gold.name}, {len(answers)} answerer(s); more in {folder}")


def _open(settings: Settings, workspace: Workspace, asked: Evaluation) -> dict[str, Stored]:
    """The answerers by name, or the one answerer under each prompt, as `ANSWERER[PROMPT]`."""
    spec, names = settings.answers.spec, asked.answerers
    if asked.prompts:
        under = _under_prompts(spec, asked)
        spec, names = spec | under, tuple(under)
    root = workspace.store(settings.answers.store)
    opened = {name: Stored(name, open_answerer(name, spec, workspace.model, workspace.root), root) for name in names}
    if asked.prompts:
        for first, second in combinations(opened.values(), 2):
            if first.answerer.key == second.answerer.key:
                raise BadParameter(f"`{first.name}` and `{second.name}` are one prompt under two names; leave out one")
    return opened


def _under_prompts(spec: Mapping[str, AnswererSettings], asked: Evaluation) -> dict[str, AnswererSettings]:
    """The settings of the one answerer under each prompt, by name; BadParameter where that makes no sense."""
    if len(asked.answerers) > 1:
        raise BadParameter(f"--prompt goes with one --answerer, not with {len(asked.answerers)}; leave out the others")
    name = asked.answerers[0]
    own = answerer_settings(name, spec)
    if own.parts:
        raise BadParameter(f"--prompt can't be put to the {own.engine} `{name}`; name a member: {', '.join(own.parts)}")
    if own.prompt is None:
        raise BadParameter(f"--prompt can't be put to answerer `{name}`: engine `{own.engine}` takes none")
    for prompt in asked.prompts:
        if asked.prompts.count(prompt) > 1:
            raise BadParameter(f"--prompt {prompt} is given twice; give different prompts")
    return {f"{name}[{prompt}]": own.model_copy(update={"prompt": prompt}) for prompt in asked.prompts}


def _gold(workspace: Workspace, asked: Evaluation) -> GoldSet:
    source = GoldSource(Path(asked.gold), asked.questions, workspace.dataset, workspace.questions)
    gold = read_gold(asked.gold, asked.format, source)
    if asked.sample is not None:
        gold = gold.sample(asked.sample, asked.seed)
    if len(gold.texts) * len(gold.questions) > _MAX_GRID:
        raise BadInput(
            f"{gold.name}: {len(gold.texts):,} texts x {len(gold.questions):,} questions are too many to look up at "
            "once; give --sample"
        )
    return gold


def _answer(stored: Stored, gold: GoldSet, block_texts: int) -> ev.CellAnswers:
    """Answer what the store lacks of the labelled cells, and return these from the store alone."""
    wanted = Wanted(
        segment_ids=[text_id(text) for text in gold.texts],
        texts=gold.texts,
        question_ids=[question.question_id for question in gold.questions],
        questions=[question.text for question in gold.questions],
    )
    asked = gold.labelled()
    plans = stored.plan(wanted, block_texts, asked)
    print(stored.describe(f"evaluate {gold.name}, {stored.name}", plans), flush=True)
    stored.run(wanted, plans, stored.name)
    found = stored.read(wanted, asked)
    cells = gold.rows, gold.columns
    return ev.CellAnswers(found.margin[cells].astype(np.float64), found.mass[cells].astype(np.float64))


def _identity(stored: Stored) -> dict[str, Any]:
    """The key of an answerer, and of a cascade the sentence that says what it approximates."""
    named = {"key": stored.answerer.key}
    return named | ({"approximates": stored.answerer.claim} if isinstance(stored.answerer, CascadeAnswerer) else {})


def _report(
    gold: GoldSet,
    asked: Evaluation,
    tables: dict[str, pd.DataFrame],
    spread: pd.DataFrame | None,
    summary: dict[str, Any],
) -> str:
    """Return what is printed: the answerers' scores, how alike they are, what depends on the prompt."""
    parts = [ev.scores_text(gold, name, table, summary["answerers"][name]) for name, table in tables.items()]
    if len(tables) > 1:
        parts.append(ev.agreement_text(summary["agreement"]))
    if spread is not None:
        parts.append(ev.sensitivity_text(asked.answerers[0], len(tables), spread, summary["sensitivity"]))
    return "\n".join(parts)


def _write_reliability(folder: Path, gold: GoldSet, answers: dict[str, ev.CellAnswers]) -> None:
    curves = {name: ev.reliability_table(gold, found) for name, found in answers.items()}
    _joined(curves).to_csv(folder / "reliability.csv", index=False)
    ev.draw_reliability(folder / "reliability.png", gold.name, curves)


def _joined(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    named = [table.assign(answerer=name) for name, table in tables.items()]
    joined = pd.concat(named, ignore_index=True)
    return joined[["answerer", *[column for column in joined if column != "answerer"]]]


def _summary(
    gold: GoldSet, asked: Evaluation, answerers: dict[str, Any], alike: pd.DataFrame, spread: pd.DataFrame | None
) -> dict[str, Any]:
    summary = {
        "gold": gold.name,
        "n_texts": len(gold.texts),
        "n_questions": len(gold.questions),
        "n_cells": gold.n_cells,
        "sample": asked.sample,
        "seed": asked.seed,
        "answerers": answerers,
        "agreement": ev.agreement_summary(alike),
        "notes": list(gold.notes),
    }
    return summary if spread is None else summary | {"sensitivity": ev.sensitivity_summary(spread)}
