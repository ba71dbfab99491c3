"""Training heads on frozen vectors, all questions at once: linear heads, or heads with a hidden layer.

**Linear heads** are logistic regressions, one column a question:

    min over W, b of the sum over questions j of
        mean over known cells i of c_ij BCE(x_i . w_j + b_j, y_ij) + penalty / 2 |w_j|^2

Labels may be soft: y is then the teacher's probability of yes. `balance` gives yes and no the same weight (c), so that
the margin is 0 where the odds are those of the question's base rate. The bias is moved back afterwards, so that
sigmoid(margin) stays a probability.

The solver is L-BFGS in coordinates in which the loss is nearly round: W = P Z with P = (c X'X / n + penalty I)^-1/2,
c the mean of p (1 - p) at the base rates. About ten passes over the texts are then enough; in the coordinates of the
encoder many hundreds are needed.

**Heads with a hidden layer** say what a linear map of the vectors can't, at a small price:

    margin = gelu(x H + h) W + b,   trained on the same loss by AdamW with dropout

The inputs are standardised for training, and H and h are turned back afterwards. Training stops where held-out stories
stop getting better; a fit on all stories then takes as many epochs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from qaemb.answers.students import Heads, Layer
from qaemb.distill.cells import Rows, TeacherCells
from qaemb.errors import BadInput

if TYPE_CHECKING:
    from torch import Tensor

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
class _FittedHeads:
    """The heads, the penalty that was chosen, and the held-out log loss (nats per cell) of every penalty tried."""

    heads: Heads
    penalty: float
    curve: Curve


def fit_heads(
    vectors: Vectors, cells: TeacherCells, train: Rows, held_out: Rows, settings: HeadSettings
) -> _FittedHeads:
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
    return _FittedHeads(best[1], best[2], curve)


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
    untaught = np.flatnonzero(~known.any(axis=0))
    if len(untaught):
        raise BadInput(
            f"the teacher answered `{cells.questions[untaught[0]]}` for no text to learn from; ask it, or leave the "
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


@dataclass(frozen=True)
class HiddenSettings:
    """Size of the layer and course of the training."""

    units: int
    epochs: int = 8
    learning_rate: float = 5e-4
    batch: int = 256
    input_dropout: float = 0.2
    dropout: float = 0.5
    weight_decay: float = 0.01
    seed: int = 0


@dataclass(frozen=True, eq=False)
class _FittedHidden:
    """The heads after the best epoch, its number (from 1), and the held-out log loss after each."""

    heads: Heads
    epochs: int
    curve: Curve


def fit_hidden(
    vectors: Vectors, cells: TeacherCells, train: Rows, held_out: Rows, head: HeadSettings, settings: HiddenSettings
) -> _FittedHidden:
    """Return heads learnt on `train` rows of vectors (T, D), of the epoch that predicts `held_out` rows best."""
    labels, known = targets(cells.rows(held_out), head.hard)
    best: tuple[float, Heads, int] | None = None
    curve: Curve = []
    for epoch, heads in enumerate(_epochs(vectors[train], cells.rows(train), head, settings), start=1):
        loss = log_loss(heads.margins(vectors[held_out]), labels, known)
        curve.append({"epoch": epoch, "held_out_log_loss": loss})
        if best is None or loss < best[0]:
            best = loss, heads, epoch
        elif epoch - best[2] >= _PATIENCE:
            break
    assert best is not None
    return _FittedHidden(best[1], best[2], curve)


def refit_hidden(
    vectors: Vectors, cells: TeacherCells, epochs: int, head: HeadSettings, settings: HiddenSettings
) -> Heads:
    """Return heads learnt on all rows, after as many epochs of the same schedule as were best before."""
    for epoch, heads in enumerate(_epochs(vectors, cells, head, settings), start=1):
        if epoch == epochs:
            return heads
    raise AssertionError("more epochs were best than there are")


def _epochs(vectors: Vectors, cells: TeacherCells, head: HeadSettings, settings: HiddenSettings) -> Iterator[Heads]:
    """Yield the heads after each epoch."""
    import torch

    labels, _ = targets(cells, head.hard)
    share, rate = cell_weights(cells, labels, head.balance)
    log_odds = np.log(rate / (1 - rate)).astype(np.float32)
    mean, sd = vectors.mean(0, dtype=np.float64), vectors.std(0, dtype=np.float64) + 1e-6
    x = torch.from_numpy(((vectors - mean) / sd).astype(np.float32))
    y, weight = torch.from_numpy(labels), torch.from_numpy((share * len(vectors)).astype(np.float32))
    torch.manual_seed(settings.seed)
    net = _network(vectors.shape[1], labels.shape[1], settings)
    with torch.no_grad():
        net[-1].bias.copy_(torch.from_numpy(np.zeros_like(log_odds) if head.balance else log_odds))
    steps = max(1, len(vectors) // settings.batch)
    optimizer = torch.optim.AdamW(net.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=settings.epochs * steps, pct_start=0.1
    )
    for _ in tqdm(range(settings.epochs), desc="hidden heads", unit="epoch", leave=False):
        net.train()
        for batch in torch.randperm(len(x))[: steps * settings.batch].split(settings.batch):
            optimizer.zero_grad()
            _loss(net(x[batch]), y[batch], weight[batch]).backward()
            optimizer.step()
            schedule.step()
        yield _read(net, mean, sd, log_odds if head.balance else np.zeros_like(log_odds))


def _network(width: int, n_questions: int, settings: HiddenSettings) -> Any:
    from torch import nn

    return nn.Sequential(
        nn.Dropout(settings.input_dropout),
        nn.Linear(width, settings.units),
        nn.GELU(),
        nn.Dropout(settings.dropout),
        nn.Linear(settings.units, n_questions),
    )


def _loss(margin: Tensor, labels: Tensor, weight: Tensor) -> Tensor:
    from torch.nn.functional import binary_cross_entropy_with_logits

    return (weight * binary_cross_entropy_with_logits(margin, labels, reduction="none")).mean()


def _read(net: Any, mean: NDArray[np.float64], sd: NDArray[np.float64], shift: Vectors) -> Heads:
    """Return a network's weights as heads on vectors that are not standardised."""
    first, last = net[1], net[4]
    hidden = first.weight.detach().numpy().T.astype(np.float64) / sd[:, None]
    bias = first.bias.detach().numpy() - mean @ hidden
    layer = Layer(hidden.astype(np.float32), bias.astype(np.float32))
    return Heads(last.weight.detach().numpy().T.copy(), last.bias.detach().numpy() + shift, layer)
