"""How well students answer as GPT-4 does: taught and new questions, on the two test stories, and what noise allows."""

from __future__ import annotations

from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.student.margins import Margins
from benchmarks.student.splits import split_questions
from qaemb.answers.students.reading import reference_vector, text_vectors
from qaemb.distill.cells import split_groups
from qaemb.distill.conditioned import ConditionedSettings, QuestionVectors, fit_conditioned, refit_conditioned
from qaemb.distill.grades import grade_student
from qaemb.models.encoder import Encoder
from qaemb.models.vectors import vectors_of
from qaemb.settings import Settings
from qaemb.workspace import Workspace

N_UNSEEN, SEEDS = 26, range(5)
_FIGURES = ("auc", "agreement", "kappa", "ece", "brier")


def seen(margins: Margins) -> dict[str, Any]:
    """Return per student the mean over questions of each figure on the test stories."""
    test = np.flatnonzero(margins.is_test)
    found = {}
    for name, values in margins.by_student.items():
        table = grade_student(values[test].astype(np.float32), margins.cells.rows(test))
        found[name] = {figure: round(float(table[figure].mean()), 4) for figure in _FIGURES}
        found[name]["auc_lowest_question"] = round(float(table["auc"].min()), 4)
        found[name]["auc_sd_over_questions"] = round(float(table["auc"].std()), 4)
    return found


def unseen(settings: Settings, workspace: Workspace, margins: Margins, models: list[str]) -> dict[str, Any]:
    """Return AUC on questions that were left out of training and of every choice, in test stories, over five splits."""
    cells, store = margins.cells, workspace.root / settings.answers.store / "vectors"
    train, test = np.flatnonzero(~margins.is_test), np.flatnonzero(margins.is_test)
    fit, held = split_groups(cells.rows(train).groups, 0.12, 0)
    scores: dict[str, dict[int, np.ndarray]] = {}
    for model in models:
        encoder = Encoder(workspace.model(model))
        vectors = text_vectors(cells.texts, True, lambda texts: vectors_of(encoder, texts, store), encoder.width)  # noqa: B023
        questions = QuestionVectors(encoder.embed(cells.questions), reference_vector(encoder))
        for seed in tqdm(SEEDS, desc=f"unseen questions, {model}"):
            taught, left = split_questions(len(cells.questions), N_UNSEEN, seed)
            own, asked = cells.columns(taught), questions.some(taught)
            fitted = fit_conditioned(vectors, own, train[fit], train[held], asked, ConditionedSettings(seed=seed))
            final = refit_conditioned(vectors[train], own.rows(train), asked, fitted)
            scores.setdefault(model, {})[seed] = final.margins(
                vectors[test], questions.taught[left], questions.reference
            )
            centred = vectors[test].reshape(len(test), 3, -1).sum(1) @ (questions.taught[left] - questions.reference).T
            scores.setdefault(f"{model} similarity alone", {})[seed] = centred
    if len(models) > 1:
        scores["both"] = {seed: np.mean([scores[model][seed] for model in models], axis=0) for seed in SEEDS}
    return {name: _over_splits(margins, test, own) for name, own in scores.items()}


def _over_splits(margins: Margins, test: np.ndarray, scores: dict[int, np.ndarray]) -> dict[str, float]:
    values = []
    for seed, margin in scores.items():
        _, left = split_questions(len(margins.cells.questions), N_UNSEEN, seed)
        table = grade_student(margin.astype(np.float32), margins.cells.rows(test).columns(left))
        values.append(float(table["auc"].mean()))
    return {"mean": round(float(np.mean(values)), 4), "sd": round(float(np.std(values, ddof=1)), 4)}


def noise(margins: Margins) -> dict[str, float]:
    """Return AUC on the test stories of GPT-4's own neighbouring labels, and of a linear map fitted to the test labels.

    The labels were smoothed over time and cut, so that neighbours share noise; both are no strict bounds.
    """
    cells, test = margins.cells, np.flatnonzero(margins.is_test)
    labels, groups = cells.labels, np.array(cells.groups)
    same = [np.r_[False, groups[1:] == groups[:-1]], np.r_[groups[:-1] == groups[1:], False]]
    near = np.zeros_like(labels)
    near[1:] += labels[:-1] * same[0][1:, None]
    near[:-1] += labels[1:] * same[1][:-1, None]
    table = grade_student(near[test], cells.rows(test))
    rows = np.flatnonzero(~margins.is_test)
    own = grade_student(near[rows], cells.rows(rows))
    return {
        "neighbouring_labels_auc": round(float(table["auc"].mean()), 4),
        "neighbouring_labels_auc_train": round(float(own["auc"].mean()), 4),
    }
