"""Slow signals like BOLD's, planted so that the truth is known: AR(1) courses, models that see part of the signal."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.signal import lfilter


def ar(rng: np.random.Generator, coefficient: float, n_rows: int, n: int) -> np.ndarray:
    """Return `n` stationary AR(1) courses of variance 1, (n_rows, n)."""
    noise = rng.standard_normal((n_rows + 60, n)) * np.sqrt(1 - coefficient**2)
    return lfilter([1], [1, -coefficient], noise, axis=0)[60:]


@dataclass
class Planted:
    """Voxels that mix `K` signals and `F` noises they share with noise of their own; models A and B know the signals.

    A's weights are those of the voxels with errors, B lacks three of the eight signals. The noise is scaled so that
    the mean over voxels of A's r, in endless stories, is `r`; `true_a` and `true_b` are r in endless stories.
    """

    signal: float
    noise: float
    n_rows: int
    r: float = 0.2
    n_stories: int = 2
    n_voxels: int = 300
    weights: tuple[np.ndarray, ...] = field(init=False)
    K, F, SHARED = 8, 12, 0.6

    def __post_init__(self):
        rng = np.random.default_rng(0)
        own, of_a, of_b = (rng.standard_normal((self.K, self.n_voxels)) for _ in range(3))
        known = (np.arange(self.K) < 5)[:, None]
        amplitude = np.abs(rng.standard_normal(self.n_voxels)) + 0.2
        self.weights = (own * amplitude, own + 0.7 * of_a, own * known + 0.7 * of_b)
        self.of_noise = rng.standard_normal((self.F, self.n_voxels)) / np.sqrt(self.F)
        low, high = 1e-2, 1e3
        for _ in range(60):
            self.sd = np.sqrt(low * high)
            low, high = (self.sd, high) if self.true_a.mean() > self.r else (low, self.sd)

    def _true(self, model: np.ndarray) -> np.ndarray:
        noise = self.SHARED * (self.of_noise**2).sum(axis=0) + 1 - self.SHARED
        measured = (self.weights[0] ** 2).sum(axis=0) + self.sd**2 * noise
        return (model * self.weights[0]).sum(axis=0) / np.sqrt((model**2).sum(axis=0) * measured)

    @property
    def true_a(self) -> np.ndarray:
        return self._true(self.weights[1])

    @property
    def true_b(self) -> np.ndarray:
        return self._true(self.weights[2])

    def draw(self, rng: np.random.Generator) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
        """Return what A and B predict and what is measured, each a list of stories (n_rows, n_voxels)."""
        stories = []
        for _ in range(self.n_stories):
            x = ar(rng, self.signal, self.n_rows, self.K)
            shared = ar(rng, self.noise, self.n_rows, self.F) @ self.of_noise
            noise = np.sqrt(self.SHARED) * shared
            noise += np.sqrt(1 - self.SHARED) * ar(rng, self.noise, self.n_rows, self.n_voxels)
            stories.append((x @ self.weights[1], x @ self.weights[2], x @ self.weights[0] + self.sd * noise))
        return tuple(list(part) for part in zip(*stories, strict=True))


def within(rate: float, nominal: float, n: int) -> bool:
    """Return whether a rate of n independent trials is within four standard errors of the nominal one."""
    return abs(rate - nominal) < 4 * np.sqrt(nominal * (1 - nominal) / n)
