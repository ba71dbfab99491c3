"""Command `answers evaluate`: do answerers answer right, and alike? No stage of the pipeline needs it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from qaemb.answers.plan import Wanted
from qaemb.answers.stored import Stored
from qaemb.errors import BadInput, BadParameter, require
from qaemb.files import atomic_folder, json_value, write_json
from qaemb.settings import Settings
from qaemb.stages.answers import open_stored
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


def evaluate(settings: Settings, workspace: Workspace, request: Evaluation) -> None:
    """Print how right and how alike answerers are on a gold set, and write reports/evaluation/GOLD/.

    Labelled cells that the store lacks are answered and kept in it; cells without a label are not asked. BadParameter
    names an unknown answerer or a prompt that can't be put to it, BadInput what is wrong with the gold.
    """
    opened = _open(settings, workspace, request)
    gold = _gold(workspace, request)
    for note in gold.notes:
        print(f"evaluate {gold.name}: {note}")
    answers = {name: _answer(stored, gold, settings.answers.block_texts) for name, stored in opened.items()}
    low_mass = settings.validate_.low_mass
    tables = {name: ev.per_question(gold, cells, low_mass) for name, cells in answers.items()}
    summaries = {
        name: {**_identity(opened[name]), **ev.overall(gold, answers[name], tables[name], low_mass, request.seed)}
        for name in answers
    }
    alike = ev.agreement(gold, answers)
    spread = ev.sensitivity(gold, answers) if len(request.prompts) > 1 else None
    summary = _summary(gold, request, summaries, alike, spread)
    print(_report(gold, request, tables, spread, summary))
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


def _open(settings: Settings, workspace: Workspace, request: Evaluation) -> dict[str, Stored]:
    """Return the answerers by name, or the one answerer under each prompt, as `ANSWERER[PROMPT]`."""
    if not request.prompts:
        return {name: open_stored(settings, workspace, name) for name in request.answerers}
    settings = _under_prompts(settings, request)
    opened = {name: open_stored(settings, workspace, name) for name in settings.answers.spec}
    for first, second in combinations(opened.values(), 2):
        if first.answerer.key == second.answerer.key:
            raise BadParameter(f"`{first.name}` and `{second.name}` are one prompt under two names; leave out one")
    return opened


def _under_prompts(settings: Settings, request: Evaluation) -> Settings:
    """Return settings with the one answerer under each prompt and no other; BadParameter where that makes no sense."""
    if len(request.answerers) > 1:
        raise BadParameter(
            f"--prompt goes with one --answerer, not with {len(request.answerers)}; leave out the others"
        )
    name = request.answerers[0]
    spec = require(settings.answers.spec, name, "answerer", "params.yaml, section answers.spec")
    if spec.parts:
        raise BadParameter(
            f"--prompt can't be put to the {spec.engine} `{name}`; name a member: {', '.join(spec.parts)}"
        )
    if spec.prompt is None:
        raise BadParameter(f"--prompt can't be put to answerer `{name}`: engine `{spec.engine}` takes none")
    for prompt in request.prompts:
        if request.prompts.count(prompt) > 1:
            raise BadParameter(f"--prompt {prompt} is given twice; give different prompts")
    specs = {f"{name}[{prompt}]": spec.model_copy(update={"prompt": prompt}) for prompt in request.prompts}
    return settings.model_copy(update={"answers": settings.answers.model_copy(update={"spec": specs})})


def _gold(workspace: Workspace, request: Evaluation) -> GoldSet:
    source = GoldSource(Path(request.gold), request.questions, workspace.dataset, workspace.questions)
    gold = read_gold(request.gold, request.format, source)
    if request.sample is not None:
        gold = gold.sample(request.sample, request.seed)
    if len(gold.texts) * len(gold.questions) > _MAX_GRID:
        raise BadInput(
            f"{gold.name}: {len(gold.texts):,} texts x {len(gold.questions):,} questions are too many to look up at "
            "once; give --sample"
        )
    return gold


def _answer(stored: Stored, gold: GoldSet, block_texts: int) -> ev.CellAnswers:
    """Answer what the store lacks of the labelled cells, and return these from the store alone."""
    grid = Wanted.of(gold.texts, [question.text for question in gold.questions])
    answers = stored.get(grid, block_texts, f"evaluate {gold.name}, {stored.name}", gold.labelled())
    cells = gold.rows, gold.columns
    return ev.CellAnswers(answers.margin[cells].astype(np.float64), answers.mass[cells].astype(np.float64))


def _identity(stored: Stored) -> dict[str, Any]:
    """Return the key of an answerer and, if it makes one, its claim: what it approximates."""
    claim = stored.answerer.claim
    return {"key": stored.answerer.key, **({"approximates": claim} if claim else {})}


def _report(
    gold: GoldSet,
    request: Evaluation,
    tables: dict[str, pd.DataFrame],
    spread: pd.DataFrame | None,
    summary: dict[str, Any],
) -> str:
    """Return what is printed: the answerers' scores, how alike they are, what depends on the prompt."""
    parts = [ev.scores_text(gold, name, table, summary["answerers"][name]) for name, table in tables.items()]
    if len(tables) > 1:
        parts.append(ev.agreement_text(summary["agreement"]))
    if spread is not None:
        parts.append(ev.sensitivity_text(request.answerers[0], len(tables), spread, summary["sensitivity"]))
    return "\n".join(parts)


def _write_reliability(folder: Path, gold: GoldSet, answers: dict[str, ev.CellAnswers]) -> None:
    curves = {name: ev.reliability_table(gold, cells) for name, cells in answers.items()}
    _joined(curves).to_csv(folder / "reliability.csv", index=False)
    ev.draw_reliability(folder / "reliability.png", gold.name, curves)


def _joined(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    named = [table.assign(answerer=name) for name, table in tables.items()]
    joined = pd.concat(named, ignore_index=True)
    return joined[["answerer", *[column for column in joined if column != "answerer"]]]


def _summary(
    gold: GoldSet, request: Evaluation, answerers: dict[str, Any], alike: pd.DataFrame, spread: pd.DataFrame | None
) -> dict[str, Any]:
    summary = {
        "gold": gold.name,
        "n_texts": len(gold.texts),
        "n_questions": len(gold.questions),
        "n_cells": gold.n_cells,
        "sample": request.sample,
        "seed": request.seed,
        "answerers": answerers,
        "agreement": ev.agreement_summary(alike),
        "notes": list(gold.notes),
    }
    return summary if spread is None else summary | {"sensitivity": ev.sensitivity_summary(spread)}
