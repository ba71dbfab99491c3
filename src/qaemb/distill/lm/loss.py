"""What a training step makes small. Imported only when a model is trained."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import linear, softplus

from qaemb.answers.labels import Labels, margin_and_mass


def cross_entropy(margin: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    """Return the mean over cells of yes * -log s(margin) + no * -log s(-margin), s the logistic function; a scalar.

    `yes` and `no` (cells,) are weight times label and weight times (1 - label).
    """
    return (yes * softplus(-margin) + no * softplus(margin)).mean()


def margin_from_hidden(hidden: Tensor, head: torch.nn.Linear, labels: Labels) -> tuple[Tensor, Tensor]:
    """Return the margins (cells,) and log P(yes or no) before normalising (cells,), float32.

    `hidden` (cells, d) are the last hidden states at the ends. Only the labels' rows of the head are multiplied: a
    margin needs no other token.
    """
    ids = [*labels.yes, *labels.no]
    bias = None if head.bias is None else head.bias[ids].float()
    logits = linear(hidden.float(), head.weight[ids].float(), bias)
    among_labels = Labels(tuple(range(len(labels.yes))), tuple(range(len(labels.yes), len(ids))))
    margin, _ = margin_and_mass(logits, among_labels)
    return margin, logits.logsumexp(1)


def mean_log_mass(hidden: Tensor, head: torch.nn.Linear, label_sum: Tensor) -> Tensor:
    """Return the mean over cells of log(P(yes) + P(no)), a scalar; `label_sum`: see `margin_from_hidden`."""
    everything = head(hidden).float().logsumexp(1)
    return (label_sum - everything).mean()
