"""Training heads with a hidden layer on frozen vectors: what a linear map of the vectors can't say, at a small price.

    margin = gelu(x H + h) W + b,   trained on the same loss as linear heads (heads.py) by AdamW with dropout

The inputs are standardised for training, and H and h are turned back afterwards. Training stops where held-out stories
stop getting better; a fit on all stories then takes as many epochs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from qaemb.answers.students import Heads, Layer
from qaemb.distill.cells import Rows, TeacherCells
from qaemb.distill.heads import Curve, HeadSettings, cell_weights, log_loss, targets

if TYPE_CHECKING:
    from torch import Tensor

Vectors = NDArray[np.float32]

_PATIENCE = 2  # epochs without a better held-out loss that end training


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
class FittedHidden:
    """The heads after the best epoch, its number (from 1), and the held-out log loss after each."""

    heads: Heads
    epochs: int
    curve: Curve


def fit_hidden(
    vectors: Vectors, cells: TeacherCells, train: Rows, held_out: Rows, head: HeadSettings, settings: HiddenSettings
) -> FittedHidden:
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
    return FittedHidden(best[1], best[2], curve)


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
