"""Half-samples of the train stories, balanced, and the ridge solutions that each of them gives.

Stories are dealt into G groups of about equal rows, G a power of two. The G - 1 contrasts of a Hadamard matrix split
the groups into two halves so that every two contrasts are orthogonal (balanced half-samples: McCarthy, 1969). The two
halves of a split share no story. With w_a, w_b the weights from the two halves of a split, the mean over splits of

    ((w_a - w_b) / 2)^2

estimates the variance of a weight from all stories, with G - 1 degrees of freedom; for a statistic that is a mean over
groups of equal size it is exactly the variance among groups over G.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from qaemb.encoding.moments import Array, FeatureMoments
from qaemb.encoding.plan import recording_moments
from qaemb.encoding.protocols import Partition
from qaemb.encoding.recording import Recording
from qaemb.encoding.spectrum import Spectrum, spectrum_of_products, spectrum_of_rows
from qaemb.errors import BadInput


@dataclass(frozen=True)
class Half:
    """Some groups of train stories: their share of the train rows, and their design matrix's spectrum."""

    groups: list[int]
    share: float
    spectrum: Spectrum


@dataclass(frozen=True)
class ResamplePlan:
    """All that depends on the features alone. `partition`: part of each row = group of its story; `full`: all groups.

    `halves`: 2 k and 2 k + 1 are the two halves of split k.
    """

    partition: Partition
    full: Spectrum
    halves: tuple[Half, ...]

    @property
    def freedom(self) -> int:
        """Degrees of freedom of the variances."""
        return self.partition.n_parts - 1


def deal_stories(n_rows: Mapping[str, int], n_groups: int, seed: int) -> dict[str, int]:
    """Return story -> group, in the order of `n_rows`; at most `n_groups` groups, a power of two, none empty.

    Stories are dealt in an order drawn from the seed, each to the group with the fewest rows so far. BadInput if there
    are fewer than two stories.
    """
    if len(n_rows) < 2:
        raise BadInput(f"{len(n_rows)} train story can't be resampled; add train stories, or empty interpret.models")
    n_groups = min(n_groups, 2 ** (len(n_rows).bit_length() - 1))
    names = list(n_rows)
    filled = np.zeros(n_groups, dtype=np.int64)
    group_of = {}
    for name in (names[i] for i in np.random.default_rng(seed).permutation(len(names))):
        group = int(filled.argmin())
        group_of[name] = group
        filled[group] += n_rows[name]
    return {name: group_of[name] for name in names}


def half_samples(n_groups: int) -> NDArray[np.bool_]:
    """Return which groups are in each half, (2 (n_groups - 1), n_groups); rows 2 k and 2 k + 1 complement each other.

    >>> half_samples(2).tolist()
    [[True, False], [False, True]]
    """
    contrasts = linalg.hadamard(n_groups)[1:] > 0
    return np.stack([contrasts, ~contrasts], axis=1).reshape(-1, n_groups)


def plan_resamples(recording: Recording, n_groups: int, seed: int) -> ResamplePlan:
    """Return the plan of a recording's train stories; BadInput if there are fewer than two.

    Memory: about (2 G - 1) p min(p, rows of a half) float64 for p columns of the design matrix.
    """
    rows = recording.train_rows()
    group_of = deal_stories(rows, n_groups, seed)
    n_parts = max(group_of.values()) + 1
    chosen = half_samples(n_parts)
    held = tuple(tuple(np.flatnonzero(~half).tolist()) for half in chosen)
    partition = Partition({story: np.full(n, group_of[story]) for story, n in rows.items()}, n_parts, held)
    in_group = np.zeros(n_parts)
    for story, n in rows.items():
        in_group[group_of[story]] += n
    total = float(in_group.sum())
    moments = recording_moments(recording, partition) if recording.n_columns <= total else None
    halves = []
    for half in chosen:
        groups = np.flatnonzero(half).tolist()
        spectrum = _spectrum(recording, group_of, groups, moments)
        halves.append(Half(groups, float(in_group[groups].sum()) / total, spectrum))
    return ResamplePlan(partition, _spectrum(recording, group_of, list(range(n_parts)), moments), tuple(halves))


def _spectrum(
    recording: Recording, group_of: Mapping[str, int], groups: list[int], moments: FeatureMoments | None
) -> Spectrum:
    """Return the spectrum of the rows of some groups, from whichever is smaller: products of columns, or of rows."""
    if moments is not None and recording.n_columns <= moments.n[groups].sum():
        return spectrum_of_products(moments.xx[groups].sum(axis=0))
    return spectrum_of_rows(np.vstack([design for story, design in recording.designs() if group_of[story] in groups]))


def delay_mean(weights: Array, n_delays: int) -> Array:
    """Return weights (delays * features, ...) averaged over the delays, (features, ...)."""
    return weights.reshape(n_delays, -1, *weights.shape[1:]).mean(axis=0)
