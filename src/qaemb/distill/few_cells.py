"""Linear heads from few cells, each question with its own texts, and the curve of what the cells are worth.

    w_q = slope z_q + u_q,    u ~ N(0, K / penalty) over questions, K = share Z Z' / mean |z|^2 + (1 - share) I
    U, b = argmin sum over known cells (y - b_q - x . w_q)^2 + penalty tr(U' K^-1 U)

x: a text's vector less the pool's mean; z_q, row q of Z: the question's vector less the mean over questions. So a head
starts from the similarity of text and question (the zero-shot student), moves with the heads of questions near to its
own, and departs from both as far as its own cells say; share = slope = 0 is one ridge a question. Found by conjugate
gradients on sums of products over each question's cells; training sets of cross-validation are differences of sums.
Scores become margins by logistic curves on held-out scores (`active.calibration`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit
from tqdm import tqdm

from qaemb.answers.students import Heads
from qaemb.distill.active import RANDOM_SHARE, Mask, State, calibration, choose_cells, growth
from qaemb.errors import BadInput, BadParameter
from qaemb.stats import auc, brier

Vectors = NDArray[np.float32]
Floats = NDArray[np.float64]

_TOLERANCE, _STEPS = 1e-4, 300  # of conjugate gradients: relative residual, most steps


@dataclass(frozen=True)
class Prior:
    """What is believed of the heads before any answer (see the top), for vectors of length 1 and labels in [0, 1]."""

    penalty: float = 10.0
    slope: float = 0.4
    share: float = 0.3


PRIORS = tuple(Prior(penalty, 0.4, share) for penalty in (5.0, 10.0, 20.0) for share in (0.0, 0.3))  # chosen from


@dataclass(frozen=True, eq=False)
class Pool:
    """What may be asked: `vectors` (T, D) of texts, `questions` (Q, D) by the same encoder, `groups` (T,): stories."""

    vectors: Vectors
    questions: Vectors
    groups: Sequence[str]

    @property
    def zero_shot(self) -> Vectors:
        """The heads of a student without any answer (Q, D): the questions' vectors less their mean."""
        return self.questions - self.questions.mean(axis=0)


@dataclass(frozen=True, eq=False)
class Asked:
    """The teacher's `labels` (T, Q) in [0, 1], read where `known` (T, Q); `at_random` (T, Q): those drawn at random."""

    labels: Vectors
    known: Mask
    at_random: Mask

    def __post_init__(self) -> None:
        read = self.labels[self.known]
        if not len(read) or not ((read >= 0) & (read <= 1)).all():
            raise BadInput("no cell is known, or a known label is not in [0, 1]; ask some, give probabilities of yes")


@dataclass(frozen=True, eq=False)
class _FewCellHeads:
    """The heads, the prior chosen, each prior's held-out correlation, margins (T, Q) by heads without the story."""

    heads: Heads
    prior: Prior
    correlation: dict[Prior, float]
    held_out: Vectors


@dataclass(frozen=True)
class CurvePlan:
    """`budgets` in cells, rising. Each is one round of choosing by the last round's student; the first is at random."""

    choosers: Sequence[str]
    budgets: Sequence[int]
    seeds: Sequence[int] = (0, 1, 2, 3, 4)
    priors: Sequence[Prior] = (Prior(),)
    random_share: float = RANDOM_SHARE


def fit_few_cells(
    pool: Pool, asked: Asked, priors: Sequence[Prior] = PRIORS, n_folds: int = 3, seed: int = 0
) -> _FewCellHeads:
    """Return heads learnt from the known cells; folds are whole stories, BadInput with fewer stories than folds.

    The prior is the one whose held-out scores correlate best with the labels, both less the question's mean, over all
    cells: that asks nothing of a score's scale. Memory: about 4 (2 n_folds + 3) Q D^2 bytes.
    """
    names, story = np.unique(np.asarray(pool.groups), return_inverse=True)
    if len(names) < n_folds or n_folds < 2:
        raise BadInput(f"{len(names)} stories can't make {n_folds} folds; give more stories, or other n_folds (>= 2)")
    fold = (np.random.default_rng(seed).permutation(len(names)) % n_folds)[story]
    centre = pool.vectors.mean(axis=0)
    x = pool.vectors - centre
    parts = [_sums(x, asked, np.flatnonzero(fold == number)) for number in range(n_folds)]
    total = _Sums(*(sum(column) for column in zip(*parts, strict=True)))
    rest = [_Sums(*(a - b for a, b in zip(total, part, strict=True))) for part in parts]
    tried = {prior: [_solve(own, pool.zero_shot, prior) for own in rest] for prior in priors}
    correlation = {prior: _correlation(parts, weights) for prior, weights in tried.items()}
    prior = max(correlation, key=lambda one: correlation[one])
    scores = np.empty(asked.known.shape, np.float32)
    for number, own in enumerate(tried[prior]):
        scores[fold == number] = x[fold == number] @ own.T
    slope, bias = calibration(scores, asked.labels, asked.known, asked.at_random)
    weights = _solve(total, pool.zero_shot, prior)
    spread = (x @ weights.T).std(axis=0)  # wider than that of held-out scores, to which the curves belong
    weights *= (slope * scores.std(axis=0) / np.maximum(spread, 1e-12))[:, None].astype(np.float32)
    heads = Heads(weights.T, (bias - weights @ centre).astype(np.float32))
    return _FewCellHeads(heads, prior, correlation, (slope * scores + bias).astype(np.float32))


def curve(pool: Pool, labels: Vectors, tests: Mapping[str, tuple[Vectors, Vectors]], plan: CurvePlan) -> pd.DataFrame:
    """Return what students learn from ever more cells: a row per chooser, seed, budget and test.

    `labels` (T, Q) in [0, 1]: the teacher, of whom a student sees the cells chosen alone. `tests`: vectors and labels
    (0 or 1) of held-out texts by name. Columns: chooser, seed, budget (cells), yes_share (of the cells asked), test,
    auc and brier (means over questions), mean_p (mean P(yes)). BadParameter if the budgets do not rise.
    """
    if list(plan.budgets) != sorted(set(plan.budgets)):
        raise BadParameter(f"budgets {list(plan.budgets)} do not rise; list each once, from small to large")
    todo = [(chooser, seed) for chooser in plan.choosers for seed in plan.seeds]
    rows: list[tuple[str | float, ...]] = []
    for chooser, seed in tqdm(todo, desc="curve", unit="path"):
        for asked, fitted in _path(pool, labels, plan, chooser, seed):
            figures = (chooser, seed, int(asked.known.sum()), float(labels[asked.known].mean()))
            rows += [(*figures, name, *grade(fitted.heads, *test)) for name, test in tests.items()]
    return pd.DataFrame(rows, columns=["chooser", "seed", "budget", "yes_share", "test", "auc", "brier", "mean_p"])


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Return mean and sd (n - 1) over seeds of a curve's figures, a row per test, chooser and budget."""
    by = table.groupby(["test", "chooser", "budget"], sort=False)
    figures = ["auc", "brier", "mean_p", "yes_share"]
    spread = by[["auc", "brier"]].std().add_suffix("_sd")
    return by[figures].mean().join(spread).join(by.size().rename("seeds")).reset_index()


def grade(heads: Heads, vectors: Vectors, labels: Vectors) -> tuple[float, float, float]:
    """Return mean AUC over questions (those with both labels), mean Brier score and mean P(yes) on held-out texts."""
    margin = (vectors @ heads.weight + heads.bias).astype(np.float64)
    columns = list(zip(margin.T, labels.T.astype(np.float64), strict=True))
    aucs, briers = [auc(m, y) for m, y in columns], [brier(m, y) for m, y in columns]
    return float(np.nanmean(aucs)), float(np.mean(briers)), float(expit(margin).mean())


def _path(
    pool: Pool, labels: Vectors, plan: CurvePlan, chooser: str, seed: int
) -> Iterator[tuple[Asked, _FewCellHeads]]:
    """Yield what was asked and the student learnt from it, budget after budget."""
    known = at_random = np.zeros(labels.shape, np.bool_)
    margin, value, before = pool.vectors @ pool.zero_shot.T, None, None
    for step, budget in enumerate(plan.budgets):
        state = State(pool.vectors, known, margin, at_random, value)
        name = chooser if step or chooser == "whole_texts" else "random"
        new = choose_cells(name, state, budget - int(known.sum()), 1000 * seed + step, plan.random_share)
        known, at_random = known | new.cells, at_random | new.at_random
        asked = Asked(np.where(known, labels, 0).astype(np.float32), known, at_random)
        fitted = fit_few_cells(pool, asked, plan.priors)
        yield asked, fitted
        margin = pool.vectors @ fitted.heads.weight + fitted.heads.bias
        now = _held_out_auc(fitted.held_out, asked)
        value, before = None if before is None else growth(before, now), now


def _held_out_auc(margin: Vectors, asked: Asked) -> Floats:
    """Return each question's AUC on the cells asked, NaN where all have one label."""
    columns = zip(margin.T.astype(np.float64), asked.labels.T > 0.5, asked.known.T, strict=True)
    return np.array([auc(m[known], yes[known].astype(np.float64)) for m, yes, known in columns])


class _Sums(NamedTuple):
    """Sums over some cells of each question: their number n (Q,), x (Q, D), y (Q,), x x' (Q, D, D), x y (Q, D).

    The methods are of x and y less their means over the question's cells: no intercept need be solved for.
    """

    n: Vectors
    x: Vectors
    y: Vectors
    xx: Vectors
    xy: Vectors

    def product(self, weights: Vectors) -> Vectors:
        """Return each question's x x' times its weights (Q, D)."""
        mean = self.x / np.maximum(self.n, 1)[:, None]
        return np.matmul(self.xx, weights[:, :, None])[:, :, 0] - mean * (self.x * weights).sum(axis=1)[:, None]

    def cross(self) -> Vectors:
        """Return x y (Q, D)."""
        return self.xy - self.x * (self.y / np.maximum(self.n, 1))[:, None]


def _sums(x: Vectors, asked: Asked, rows: NDArray[np.int64]) -> _Sums:
    """Return the sums over the known cells of some texts; a question with the last one's texts shares its x x'."""
    known, q, d = asked.known[rows], asked.known.shape[1], x.shape[1]
    sums = _Sums(*(np.zeros(shape, np.float32) for shape in ((q,), (q, d), (q,), (q, d, d), (q, d))))
    sums.n[:] = known.sum(axis=0)
    last = np.zeros(0, np.int64)
    for question in range(q):
        rows_of_it = rows[known[:, question]]
        y, vectors = asked.labels[rows_of_it, question], x[rows_of_it]
        sums.x[question], sums.y[question], sums.xy[question] = vectors.sum(axis=0), y.sum(), vectors.T @ y
        sums.xx[question] = sums.xx[question - 1] if np.array_equal(rows_of_it, last) else vectors.T @ vectors
        last = rows_of_it
    return sums


def _solve(sums: _Sums, zero_shot: Vectors, prior: Prior) -> Vectors:
    """Return the weights (Q, D): conjugate gradients in V, U = root V, root root' = K, so that the penalty is |V|^2."""
    similar = zero_shot @ zero_shot.T
    scale = prior.share / max(float(np.trace(similar)) / len(similar), 1e-12)
    root = np.linalg.cholesky(scale * similar + (1 - prior.share + 1e-6) * np.eye(len(similar))).astype(np.float32)
    start = np.float32(prior.slope) * zero_shot
    rest = root.T @ (sums.cross() - sums.product(start))
    solution, step, size = np.zeros_like(rest), rest.copy(), float((rest**2).sum())
    enough = _TOLERANCE**2 * size
    for _ in range(_STEPS):
        if size <= enough:
            break
        pushed = root.T @ sums.product(root @ step) + np.float32(prior.penalty) * step
        length = np.float32(size / float((step * pushed).sum()))
        solution += length * step
        rest -= length * pushed
        size, old = float((rest**2).sum()), size
        step = rest + np.float32(size / old) * step
    return start + root @ solution


def _correlation(parts: Sequence[_Sums], weights: Sequence[Vectors]) -> float:
    """Return the correlation of held-out scores and labels (up to the labels' own norm), from centred sums alone."""
    pairs = list(zip(parts, weights, strict=True))
    with_labels = sum(float((weight * part.cross()).sum()) for part, weight in pairs)
    squared = sum(float((weight * part.product(weight)).sum()) for part, weight in pairs)
    return with_labels / squared**0.5 if squared > 0 else 0.0
