"""How many of GPT-4's answers a student needs, and which cells to ask: the curve of docs/label-efficiency.md.

Pool: the train stories of lebel_pcs less twelve, none answered. Students are graded on the twelve and on the two test
stories; what there was to choose (prior, choosers' shares) was chosen on train stories. A TR's vector is the mean of
MiniLM's vectors of its words and of those of the TR before and the TR after, at length 1.

`python -m benchmarks.student.efficiency` runs it alone and writes the tables of the page. Needs QAEMB_LEBEL_PCS.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.record import write_result
from benchmarks.student.pcs import ROOT, WORK
from qaemb.answers.students import Heads
from qaemb.datasets.lebel_pcs import PUBLISHED_NAME, LebelPcs
from qaemb.distill.cells import split_groups
from qaemb.distill.few_cells import PRIORS, Asked, CurvePlan, Pool, Prior, curve, fit_few_cells, grade, summary
from qaemb.files import write_text
from qaemb.models.encoder import Encoder
from qaemb.models.folder import INFO_FILE, make_model
from qaemb.models.vectors import vectors_of
from qaemb.settings import load_settings

Vectors = NDArray[np.float32]

DOCS = ROOT / "docs" / "label-efficiency.md"
_PER_QUESTION = (10, 25, 50, 100, 200, 400, 800, 1600)
_SEEDS = {
    "random": 5,
    "combined": 5,
    "likely_yes": 5,
    "uncertainty": 3,
    "diverse": 3,
    "question_value": 3,
    "whole_texts": 3,
}
_LEARNERS: dict[str, tuple[Prior, ...]] = {
    "similarity": (Prior(10.0, 0.4, 0.0),),
    "neither": (Prior(10.0, 0.0, 0.0),),
    "chosen by cross-validation": PRIORS,
}
_LEARNER_SEEDS = (0, 1)
_HELD_OUT = 12 / 98
_BEGIN, _END = "<!-- efficiency: begin -->", "<!-- efficiency: end -->"


@dataclass(frozen=True, eq=False)
class Data:
    """The pool, its labels, and vectors and labels of the held-out stories by name."""

    pool: Pool
    labels: Vectors
    tests: dict[str, tuple[Vectors, Vectors]]


def run() -> dict[str, Any]:
    """Return the curve, the learners' curve, the ends of both, and what a choice saves; about six minutes."""
    start = time.perf_counter()
    data = read_data()
    budgets = [n * data.labels.shape[1] for n in _PER_QUESTION]
    paths = [
        curve(data.pool, data.labels, data.tests, CurvePlan([chooser], budgets, tuple(range(n))))
        for chooser, n in _SEEDS.items()
    ]
    learners = [paths[0][paths[0]["seed"].isin(_LEARNER_SEEDS)].assign(chooser="similarity and shared map")]
    for name, priors in _LEARNERS.items():
        plan = CurvePlan(["random"], budgets, _LEARNER_SEEDS, priors)
        learners.append(curve(data.pool, data.labels, data.tests, plan).assign(chooser=name))
    points = summary(pd.concat(paths))
    return {
        "questions": data.labels.shape[1],
        "texts": len(data.labels),
        "yes_rate": {"pool": float(data.labels.mean())} | {k: float(y.mean()) for k, (_, y) in data.tests.items()},
        "curve": points.round(5).to_dict("records"),
        "learners": summary(pd.concat(learners)).round(5).to_dict("records"),
        "ends": _ends(data),
        "saved": {test: saved(points[points["test"] == test], "combined") for test in data.tests},
        "seconds": round(time.perf_counter() - start, 1),
    }


def read_data() -> Data:
    """Return lebel_pcs as a pool of cells; only texts that are not known yet are embedded."""
    folder = os.environ.get("QAEMB_LEBEL_PCS")
    if not folder:
        sys.exit("set QAEMB_LEBEL_PCS to the folder of lebel_pcs (docs/datasets.md says how to get it)")
    source, encoder = LebelPcs(Path(folder)), _encoder()
    stories = source.stories()
    groups = [story for story in stories for _ in source.texts(story)]
    tables = [source.published(story)[PUBLISHED_NAME] for story in stories]
    labels = np.vstack([table.to_numpy(np.float32) for table in tables])
    vectors = windows({story: source.texts(story) for story in stories}, encoder)
    questions = vectors_of(encoder, [str(question) for question in tables[0].columns], WORK / "vectors")
    is_test = np.isin(groups, sorted(source.held_out()))
    train = np.flatnonzero(~is_test)
    own, held = (train[rows] for rows in split_groups([groups[row] for row in train], _HELD_OUT, seed=0))
    parts = {"test": np.flatnonzero(is_test), "held_out_train": held}
    return Data(
        Pool(vectors[own], questions, [groups[row] for row in own]),
        labels[own],
        {name: (vectors[rows], labels[rows]) for name, rows in parts.items()},
    )


def windows(texts: dict[str, list[str]], encoder: Encoder) -> Vectors:
    """Return for each TR of each story the mean vector of its words and its neighbours', length 1; 0 without words."""
    every = [text for own in texts.values() for text in own if text.strip()]
    known = iter(vectors_of(encoder, every, WORK / "vectors"))
    width = vectors_of(encoder, every[:1], WORK / "vectors").shape[1]
    found = []
    for own in texts.values():
        alone = np.array([next(known) if text.strip() else np.zeros(width, np.float32) for text in own])
        padded = np.pad(alone, ((1, 1), (0, 0)))
        found.append(padded[:-2] + padded[1:-1] + padded[2:])
    joined = np.vstack(found)
    return joined / np.maximum(np.linalg.norm(joined, axis=1, keepdims=True), 1e-6)


def saved(points: pd.DataFrame, chooser: str) -> dict[str, float]:
    """Return by the chooser's budget the share of random cells that it saves at the same mean AUC.

    What random cells would be needed is read off their curve, log cells against AUC; budgets that reach beyond its end
    are left out.
    """
    by = {name: own.sort_values("budget") for name, own in points.groupby("chooser")}
    auc = np.maximum.accumulate(by["random"]["auc"])
    own = by[chooser][by[chooser]["auc"] <= auc.max()]
    needed = np.exp(np.interp(own["auc"], auc, np.log(by["random"]["budget"])))
    return {str(budget): round(1 - budget / n, 3) for budget, n in zip(own["budget"], needed, strict=True)}


def _ends(data: Data) -> dict[str, Any]:
    """Return mean AUC without any answer, and AUC, Brier score and mean P(yes) with every cell answered."""
    nothing = Heads(data.pool.zero_shot.T, np.zeros(data.labels.shape[1], np.float32))
    everything = np.ones(data.labels.shape, np.bool_)
    heads = fit_few_cells(data.pool, Asked(data.labels, everything, everything), (Prior(),)).heads
    return {
        name: {"no_answer_auc": grade(nothing, *test)[0]}
        | dict(zip(("auc", "brier", "mean_p"), grade(heads, *test), strict=True))
        for name, test in data.tests.items()
    } | {"cells": data.labels.size}


def _encoder() -> Encoder:
    folders = [ROOT / "data" / "work" / "models" / "minilm", WORK / "data" / "work" / "models" / "minilm"]
    found = [folder for folder in folders if (folder / INFO_FILE).exists()]
    if not found:
        make_model("minilm", load_settings(ROOT / "params.yaml").model["minilm"], folders[1])
    return Encoder((found or folders[1:])[0], threads=1)


def tables(figures: dict[str, Any]) -> str:
    """Return the page's tables as Markdown: the curve on both sets of stories, the learners, what is saved."""
    parts = []
    for test, title in (("test", "two test stories"), ("held_out_train", "12 held-out train stories")):
        own = pd.DataFrame(figures["curve"]).query("test == @test")
        ends = figures["ends"][test]
        parts.append(_wide(own, f"answers a question; {title}") + _last(ends, figures, len(_SEEDS)))
    learners = pd.DataFrame(figures["learners"]).query("test == 'test'")
    parts.append(_wide(learners, "random answers a question; two test stories"))
    return "\n\n".join(parts)


def _wide(points: pd.DataFrame, corner: str) -> str:
    names = list(dict.fromkeys(points["chooser"]))
    rows = [f"| {corner} | {' | '.join(names)} |", "|---|" + "---|" * len(names)]
    for n, (_, own) in zip(_PER_QUESTION, points.groupby("budget"), strict=True):
        by = own.set_index("chooser")
        cells = [f"{by.loc[name, 'auc']:.3f} ({by.loc[name, 'auc_sd']:.3f})" for name in names]
        rows.append(f"| {n} | {' | '.join(cells)} |")
    return "\n".join(rows)


def _last(ends: dict[str, float], figures: dict[str, Any], n_columns: int) -> str:
    rows = (("none", ends["no_answer_auc"]), (f"all {figures['texts']}", ends["auc"]))
    return "".join(f"\n| {name} | {value:.3f} |" + " |" * (n_columns - 1) for name, value in rows)


def main() -> None:
    """Run, print what a choice saves, and put the tables between their marks in docs/label-efficiency.md."""
    figures = run()
    saved_by = {
        f"combined_saves_at_{n}_a_question": figures["saved"]["test"][str(n * figures["questions"])] for n in (100, 800)
    }
    write_result("label_efficiency", saved_by, {"data": "lebel_pcs", "choosers": _SEEDS}, figures)
    text = DOCS.read_text(encoding="utf-8")
    before, after = text.split(_BEGIN)[0], text.split(_END)[1]
    write_text(DOCS, f"{before}{_BEGIN}\n{tables(figures)}\n{_END}{after}")
    print(f"wrote {DOCS} in {figures['seconds']} s; saved: {figures['saved']}")


if __name__ == "__main__":
    main()
