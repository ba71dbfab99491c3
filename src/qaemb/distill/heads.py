"""Training linear heads on frozen vectors: logistic regression, one column a question, all questions at once.

    min over W, b of the sum over questions j of
        mean over known cells i of c_ij BCE(x_i . w_j + b_j, y_ij) + penalty / 2 |w_j|^2

Labels may be soft: y is then the teacher's probability of yes. `balance` gives yes and no the same weight (c), so that
the margin is 0 where the odds are those of the question's base rate; the bias is moved back afterwards, so that
sigmoid(margin) stays a probability.

Solved by L-BFGS in the coordinates in which the loss is nearly round: W = P Z with P = (c X'X / n + penalty I)^-1/2, c
the mean of p (1 - p) at the base rates. About ten passes over the texts are then enough, where there are many hundreds
in the coordinates of the encoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from qaemb.answers.students import Heads
from qaemb.distill.cells import Rows, TeacherCells
from qaemb.errors import BadInput

Vectors = NDArray[np.float32]
Curve = list[dict[str, float]]

_ITERATIONS = 30  # of L-BFGS for one penalty, at most; each starts where the one before it ended
_PATIENCE = 2  # penalties without a better held-out loss that end the search


@dataclass(frozen=True)
class HeadSettings:
    """How heads are trained. `penalties` are tried from the largest on, until held-out stories say stop."""

    penalties: Sequence[float] = (3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5)
    hard: bool = False
    balance: bool = False


@dataclass(frozen=True, eq=False)
class FittedHeads:
    """The heads, the penalty that was chosen, and the held-out log loss (nats per cell) of every penalty tried."""

    heads: Heads
    penalty: float
    curve: Curve


def fit_heads(
    vectors: Vectors, cells: TeacherCells, train: Rows, held_out: Rows, settings: HeadSettings
) -> FittedHeads:
    """Return heads learnt on `train` rows of vectors (T, D), with the penalty that predicts `held_out` rows best.

    BadInput if a question has no known cell among the train rows.
    """
    problem = _Problem(vectors[train], cells.rows(train), settings)
    labels, known = targets(cells.rows(held_out), settings.hard)
    best, curve = None, []
    for penalty in tqdm(sorted(settings.penalties, reverse=True), desc="heads", unit="penalty", leave=False):
        heads = problem.solve(penalty)
        loss = log_loss(heads.margins(vectors[held_out]), labels, known)
        curve.append({"penalty": penalty, "held_out_log_loss": loss})
        if best is None or loss < best[0]:
            best = loss, heads, penalty
        elif len(curve) - 1 - [row["held_out_log_loss"] for row in curve].index(best[0]) >= _PATIENCE:
            break
    assert best is not None
    return FittedHeads(best[1], best[2], curve)


def refit_heads(vectors: Vectors, cells: TeacherCells, penalty: float, settings: HeadSettings) -> Heads:
    """Return heads learnt on all rows with a penalty that was chosen before."""
    return _Problem(vectors, cells, settings).solve(penalty)


def log_loss(margin: Vectors, labels: Vectors, known: NDArray[np.bool_]) -> float:
    """Return the mean over known cells of -y log p - (1 - y) log(1 - p), p = sigmoid(margin), in nats."""
    values = np.logaddexp(0.0, margin.astype(np.float64)) - labels * margin
    return float(values[known].mean())


def targets(cells: TeacherCells, hard: bool) -> tuple[Vectors, NDArray[np.bool_]]:
    """Return labels (T, Q), made yes or no where they are to be `hard`, and which of them are known."""
    labels = (cells.labels > 0.5).astype(np.float32) if hard else cells.labels
    return labels, cells.known


def cell_weights(
    cells: TeacherCells, labels: Vectors, balance: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each cell's weight (T, Q), summing to 1 over a question's known cells, and the base rates (Q,).

    `balance`: yes and no of a question weigh the same. BadInput names a question with no known cell.
    """
    known = cells.known
    lacking = np.flatnonzero(~known.any(axis=0))
    if len(lacking):
        raise BadInput(
            f"the teacher answered `{cells.questions[lacking[0]]}` for no text to learn from; ask it, or leave the "
            "question out"
        )
    rate = np.clip((labels * known).sum(0) / known.sum(0), 1e-4, 1 - 1e-4).astype(np.float64)
    share = known / known.sum(0)
    if balance:
        share = share * (labels / (2 * rate) + (1 - labels) / (2 * (1 - rate)))
    return share, rate


class _Problem:
    """The loss as a function of weights, on tensors; keeps the last solution to start from."""

    def __init__(self, vectors: Vectors, cells: TeacherCells, settings: HeadSettings) -> None:
        import torch

        labels, _ = targets(cells, settings.hard)
        share, rate = cell_weights(cells, labels, settings.balance)
        self._log_odds = np.log(rate / (1 - rate)).astype(np.float32)
        self._balance = settings.balance
        self._x = torch.from_numpy(np.ascontiguousarray(vectors))
        self._y, self._share = torch.from_numpy(labels), torch.from_numpy(share.astype(np.float32))
        curvature = 0.25 if settings.balance else float((rate * (1 - rate)).mean())
        values, self._basis = torch.linalg.eigh(self._x.T @ self._x / len(vectors))
        self._curvature = curvature * values.clamp(min=0)
        self._weight = torch.zeros(vectors.shape[1], labels.shape[1])
        self._bias = torch.zeros(labels.shape[1]) if settings.balance else torch.from_numpy(self._log_odds.copy())

    def solve(self, penalty: float) -> Heads:
        import torch

        root = (self._curvature + penalty).sqrt()
        turned = (self._basis.T @ self._weight * root[:, None]).requires_grad_()
        bias = self._bias.clone().requires_grad_()
        optimizer = torch.optim.LBFGS(
            [turned, bias], max_iter=_ITERATIONS, tolerance_change=1e-8, line_search_fn="strong_wolfe"
        )

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            weight = self._basis @ (turned / root[:, None])
            margin = self._x @ weight + bias
            cell = torch.nn.functional.binary_cross_entropy_with_logits(margin, self._y, reduction="none")
            loss = (self._share * cell).sum() + 0.5 * penalty * (weight**2).sum()
            loss.backward()
            return loss

        optimizer.step(closure)
        with torch.no_grad():
            self._weight, self._bias = self._basis @ (turned / root[:, None]), bias.detach()
        shift = self._log_odds if self._balance else np.zeros_like(self._log_odds)
        return Heads(self._weight.numpy().copy(), self._bias.numpy() + shift)
