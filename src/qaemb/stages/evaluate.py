"""Command `answers evaluate`: do answerers answer right, and alike? No stage of the pipeline needs it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from qaemb.answers import Answerer, build_answerer
from qaemb.answers.plan import Plan, Wanted, make_plan, timed
from qaemb.answers.run import run_plan
from qaemb.answers.store import Store
from qaemb.errors import BadInput, BadParameter
from qaemb.files import atomic_folder, write_json
from qaemb.identity import text_id
from qaemb.settings import Settings
from qaemb.validation import evaluation as ev
from qaemb.validation.gold_set import GoldSet, sample
from qaemb.validation.gold_sets import GoldSource, read_gold
from qaemb.validation.reliability_figure import draw_reliability
from qaemb.workspace import Workspace

_WORTH_TIMING = 1000  # cells; fewer are answered before a measured time would help
_MAX_GRID = 200_000_000  # texts x questions that are looked up at once: two float32 grids of 0.8 GB
_MAX_ROWS = 60  # questions in the printed table


@dataclass(frozen=True)
class Evaluation:
    """What the user asks for; `gold` is `miniature` or a path, `sample` a number of texts."""

    answerers: tuple[str, ...]
    gold: str = "miniature"
    format: str = "auto"
    questions: Path | None = None
    sample: int | None = None
    seed: int = 0


def evaluate(settings: Settings, workspace: Workspace, asked: Evaluation) -> None:
    """Print how right and how alike answerers are on a gold set, and write reports/evaluation/GOLD/.

    Labelled cells that the store lacks are answered and kept in it; cells without a label are not asked. BadParameter
    names an unknown answerer, BadInput what is wrong with the gold.
    """
    opened = _open(settings, workspace, asked.answerers)
    gold = _gold(workspace, asked)
    for note in gold.notes:
        print(f"evaluate {gold.name}: {note}")
    answers = {
        name: _answer(answerer, Store(workspace.root / settings.answers.store, answerer.key), gold, settings, name)
        for name, answerer in opened.items()
    }
    low_mass = settings.validate_.low_mass
    tables = {name: ev.per_question(gold, found, low_mass) for name, found in answers.items()}
    summaries = {
        name: {"key": opened[name].key, **ev.overall(gold, answers[name], tables[name], low_mass, asked.seed)}
        for name in answers
    }
    alike = ev.agreement(gold, answers)
    for name in answers:
        print(_report(gold, name, tables[name], summaries[name]))
    if len(answers) > 1:
        print(_alike_report(alike))
    folder = workspace.reports / "evaluation" / gold.name
    with atomic_folder(folder) as new:
        _joined(tables).to_csv(new / "per_question.csv", index=False)
        alike.to_csv(new / "agreement.csv", index=False)
        if not gold.is_rating:
            curves = {name: ev.reliability_table(gold, found) for name, found in answers.items()}
            _joined(curves).to_csv(new / "reliability.csv", index=False)
            pooled = {name: curve[curve["name"] == ev.POOLED] for name, curve in curves.items()}
            draw_reliability(new / "reliability.png", gold.name, pooled)
        write_json(new / "summary.json", _plain(_summary(gold, asked, summaries, alike)))
    print(f"evaluate: {gold.n_cells:,} cells of {gold.name}, {len(answers)} answerer(s); more in {folder}")


def _open(settings: Settings, workspace: Workspace, names: tuple[str, ...]) -> dict[str, Answerer]:
    spec = settings.answers.spec
    for name in names:
        if name not in spec:
            raise BadParameter(
                f"no answerer `{name}` in params.yaml, section answers.spec; there are: {', '.join(spec)}"
            )
    return {name: build_answerer(name, spec[name], workspace.model(spec[name].model)) for name in names}


def _gold(workspace: Workspace, asked: Evaluation) -> GoldSet:
    source = GoldSource(Path(asked.gold), asked.questions, workspace.dataset, workspace.questions)
    gold = read_gold(asked.gold, asked.format, source)
    if asked.sample is not None:
        gold = sample(gold, asked.sample, asked.seed)
    if len(gold.texts) * len(gold.questions) > _MAX_GRID:
        raise BadInput(
            f"{gold.name}: {len(gold.texts):,} texts x {len(gold.questions):,} questions are too many to look up at "
            "once; give --sample"
        )
    return gold


def _answer(answerer: Answerer, store: Store, gold: GoldSet, settings: Settings, name: str) -> ev.CellAnswers:
    """Answer what the store lacks of the labelled cells, and return these from the store alone."""
    wanted = Wanted(
        segment_ids=[text_id(text) for text in gold.texts],
        texts=gold.texts,
        question_ids=[question.question_id for question in gold.questions],
        questions=[question.text for question in gold.questions],
    )
    asked = gold.asked()
    missing = asked & np.isnan(store.read(wanted.segment_ids, wanted.question_ids).margin)
    plan: Plan = replace(make_plan(answerer, wanted, missing, settings.answers.block_texts), n_wanted=int(asked.sum()))
    if plan.n_missing >= _WORTH_TIMING:
        plan = timed(answerer, wanted, plan)
    print(f"evaluate {gold.name}, {name}: {plan.describe()}", flush=True)
    run_plan(answerer, store, wanted, plan, name)
    found = store.read(wanted.segment_ids, wanted.question_ids)
    cells = gold.rows, gold.columns
    return ev.CellAnswers(found.margin[cells].astype(np.float64), found.mass[cells].astype(np.float64))


def _joined(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    named = [table.assign(answerer=name) for name, table in tables.items()]
    joined = pd.concat(named, ignore_index=True)
    return joined[["answerer", *[column for column in joined if column != "answerer"]]]


def _report(gold: GoldSet, name: str, table: pd.DataFrame, summary: dict[str, Any]) -> str:
    """Return the printed table of one answerer: questions from the best to the worst, then mean and pooled scores."""
    scores = ev.score_names(gold)
    counts = [column for column in ("n", "n_yes") if column in table]
    shown = table[table[scores[0]].notna()].sort_values(scores[0], ascending=False, kind="stable")
    rows = shown.head(_MAX_ROWS)[["name", *counts, *scores]]
    totals = [{"name": "mean over questions", **summary["mean"]}, {"name": ev.POOLED, **summary["pooled"]}]
    both = pd.concat([rows.astype({"name": object}), pd.DataFrame(totals)], ignore_index=True)
    formats = dict.fromkeys(scores, _number) | dict.fromkeys(counts, "{:.0f}".format)
    text = both.to_string(index=False, na_rep="-", formatters=formats)
    lines = [f"\n{name} on {gold.name}", text]
    if len(shown) > len(rows):
        lines.append(f"{len(shown) - len(rows)} more questions are in per_question.csv")
    if summary["n_undefined"]:
        why = "a constant side" if gold.is_rating else "one class only"
        lines.append(f"{summary['n_undefined']} questions with {why} have no {scores[0]} and are not in the mean")
    for key, what in (("mean_auc_interval", "mean AUC"), ("pooled_auc_interval", "AUC over all cells")):
        if key in summary and not math.isnan(summary[key][0]):
            low, high = summary[key]
            lines.append(f"{what}: 95 % interval {low:.3f} to {high:.3f} (bootstrap over texts)")
    return "\n".join(lines)


def _alike_report(alike: pd.DataFrame) -> str:
    lines = ["\nAgreement between answerers (mean over questions; over all cells)"]
    for row in _pairs(alike):
        scores = [f"{key} {_number(row['mean'][key])}; {_number(row['pooled'][key])}" for key in row["mean"]]
        lines.append(f"  {row['first']} / {row['second']}: " + ", ".join(scores))
    return "\n".join(lines)


def _pairs(alike: pd.DataFrame) -> list[dict[str, Any]]:
    pairs = []
    for (first, second), rows in alike.groupby(["first", "second"], sort=False):
        pooled = rows["name"] == ev.POOLED
        values = rows[["r", "share_equal", "kappa"]]
        means, over_all = values[~pooled].mean().to_dict(), values[pooled].iloc[0].to_dict()
        pairs.append({"first": first, "second": second, "mean": means, "pooled": over_all})
    return pairs


def _summary(gold: GoldSet, asked: Evaluation, answerers: dict[str, Any], alike: pd.DataFrame) -> dict[str, Any]:
    return {
        "gold": gold.name,
        "n_texts": len(gold.texts),
        "n_questions": len(gold.questions),
        "n_cells": gold.n_cells,
        "sample": asked.sample,
        "seed": asked.seed,
        "answerers": answerers,
        "agreement": _pairs(alike),
        "notes": list(gold.notes),
    }


def _plain(value: Any) -> Any:
    """Return the value for JSON: numbers rounded, NaN as null."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return None if math.isnan(value) else round(value, 6)
    return value


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"
