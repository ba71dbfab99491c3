"""Questions that a student is taught, and questions that it never sees in training."""

from __future__ import annotations

import numpy as np

from qaemb.distill.cells import Rows
from qaemb.errors import BadParameter


def split_questions(n: int, n_unseen: int, seed: int) -> tuple[Rows, Rows]:
    """Return the numbers of the questions to train on and of those never seen in training, both ascending.

    BadParameter if no question, or none to train on, would be left on a side.
    """
    if not 0 < n_unseen < n:
        raise BadParameter(f"n_unseen is {n_unseen} of {n} questions; leave at least one on each side")
    order = np.random.default_rng(seed).permutation(n)
    return np.sort(order[n_unseen:]), np.sort(order[:n_unseen])
