"""Greedy selection from sums against fitting every candidate set anew on rows."""

from __future__ import annotations

import numpy as np

from qaemb.encoding.ridge import FeatureMoments, TargetMoments
from qaemb.selection.greedy import RidgeSums, greedy_order

ALPHAS = np.array([1.0, 30.0, 1000.0])
N_QUESTIONS, N_DELAYS, N_VOXELS = 6, 2, 5


def subject(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Columns are delays x questions; questions 1 and 2 matter, 4 is nearly 1; part sizes differ."""
    rng = np.random.default_rng(seed)
    parts = np.repeat([0, 1, 2], [50, 40, 60])
    x = rng.standard_normal((len(parts), N_DELAYS, N_QUESTIONS))
    x[:, :, 4] = x[:, :, 1] + 0.3 * x[:, :, 4]
    y = x[:, 0, 1:3] @ rng.standard_normal((2, N_VOXELS)) + 2 * rng.standard_normal((len(parts), N_VOXELS))
    return x.reshape(len(parts), -1), y, parts


def sums(x: np.ndarray, y: np.ndarray, parts: np.ndarray) -> RidgeSums:
    features = FeatureMoments.of_rows([(x, parts)], 3, x.shape[1])
    return RidgeSums(features, TargetMoments.of_rows([(x, y, parts)], (3, x.shape[1], y.shape[1])), (0, 1, 2))


def plain_r(x: np.ndarray, y: np.ndarray, parts: np.ndarray, questions: list[int]) -> float:
    """Mean over voxels of the mean over folds of r at each voxel's best penalty."""
    own = x.reshape(len(x), N_DELAYS, N_QUESTIONS)[:, :, questions].reshape(len(x), -1)
    r = np.zeros((len(ALPHAS), 3, N_VOXELS))
    for i, alpha in enumerate(ALPHAS):
        for fold in range(3):
            train, held = parts != fold, parts == fold
            gram = own[train].T @ own[train] + alpha * np.eye(own.shape[1])
            predicted = own[held] @ np.linalg.solve(gram, own[train].T @ y[train])
            r[i, fold] = [np.corrcoef(predicted[:, v], y[held, v])[0, 1] for v in range(N_VOXELS)]
    return float(r.mean(axis=1).max(axis=0).mean())


def plain_order(subjects: list, size: int) -> list[int]:
    chosen: list[int] = []
    for _ in range(size):
        left = [q for q in range(N_QUESTIONS) if q not in chosen]
        scores = [np.mean([plain_r(*own, [*chosen, q]) for own in subjects]) for q in left]
        chosen.append(left[int(np.argmax(scores))])
    return chosen


def test_every_step_is_that_of_brute_force():
    for seeds in ((0,), (1, 2), (3, 4)):
        subjects = [subject(seed) for seed in seeds]
        found = greedy_order([sums(*own) for own in subjects], N_QUESTIONS, ALPHAS, N_QUESTIONS)
        assert found == plain_order(subjects, N_QUESTIONS)


def test_parts_outside_the_training_set_have_no_part():
    x, y, parts = subject(7)
    own = sums(x, y, parts)
    inside = parts > 0
    found = greedy_order([RidgeSums(own.features, own.targets, (1, 2))], N_QUESTIONS, ALPHAS, N_QUESTIONS)
    alone = sums(x[inside], y[inside], parts[inside] - 1)
    assert found == greedy_order([RidgeSums(alone.features, alone.targets, (0, 1))], N_QUESTIONS, ALPHAS, N_QUESTIONS)
    y[~inside] = 0
    changed = RidgeSums(own.features, sums(x, y, parts).targets, (1, 2))
    assert found == greedy_order([changed], N_QUESTIONS, ALPHAS, N_QUESTIONS)


def test_planted_questions_enter_first():
    x, y, parts = subject(5)
    order = greedy_order([sums(x, y, parts)], N_QUESTIONS, ALPHAS, 3)
    assert order[0] in (1, 2, 4)
    assert {1, 2} <= set(order) or {4, 2} <= set(order)


def test_a_question_that_never_varies_enters_last():
    x, y, parts = subject(6)
    x.reshape(len(x), N_DELAYS, N_QUESTIONS)[:, :, 1] = 0
    order = greedy_order([sums(x, y, parts)], N_QUESTIONS, ALPHAS, N_QUESTIONS)
    assert sorted(order) == list(range(N_QUESTIONS))
