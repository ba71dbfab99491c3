"""Generated problems of the sizes that story data have: slow, correlated features, delayed, and noisy responses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qaemb.encoding.recording import delayed
from qaemb.features.space import zscore

DELAYS = (1, 2, 3, 4)
ALPHAS = np.logspace(1, 4, 12)
N_FOLDS = 5
_Floats = NDArray[np.floating]
_SIGNAL = 0.15  # share of the variance of a voxel that features explain
_SLOWNESS = 0.8  # lag-1 autocorrelation of features, as QA features have it
_NOISE_SLOWNESS = 0.4


@dataclass(frozen=True)
class Size:
    """A problem: rows, features before they are delayed, voxels, and stories that the rows are cut into."""

    rows: int
    features: int
    voxels: int
    stories: int

    @property
    def name(self) -> str:
        """Rows x columns of the delayed design matrix x voxels."""
        return f"{self.rows}x{self.features * len(DELAYS)}x{self.voxels}"


SIZES = (Size(3_000, 86, 5_000, 10), Size(9_000, 350, 20_000, 30))
QUICK_SIZES = (Size(600, 15, 300, 5),)
FULL_SIZE = Size(27_449, 674, 95_556, 82)
QUICK_FULL_SIZE = Size(800, 20, 3_000, 8)


def slow(rng: np.random.Generator, shape: tuple[int, int], slowness: float) -> _Floats:
    """Return float32 columns (rows, n) of unit variance that are AR(1) in time."""
    from scipy.signal import lfilter

    noise = rng.standard_normal(shape, dtype=np.float32)
    noise[1:] *= np.sqrt(1 - slowness**2)
    return lfilter([1.0], [1.0, -slowness], noise, axis=0).astype(np.float32)


def stories(size: Size, seed: int) -> Iterator[tuple[int, _Floats]]:
    """Yield the number and the z-scored features (rows, features) of each story; columns share what a mixing adds."""
    mixing = np.random.default_rng(seed).standard_normal((size.features, size.features))
    mixing = mixing * np.geomspace(1.0, 0.1, size.features)[:, None]  # from a few strong dimensions to many weak ones
    lengths = [len(own) for own in np.array_split(np.arange(size.rows), size.stories)]
    for number, length in enumerate(lengths):
        rng = np.random.default_rng((seed, number))
        own = slow(rng, (length, size.features), _SLOWNESS)
        yield number, zscore(own @ mixing + 0.5 * slow(rng, (length, size.features), _SLOWNESS))


def voxel_weights(size: Size, seed: int) -> _Floats:
    """Return weights (features, voxels) float32: each voxel follows some features, one in five none."""
    rng = np.random.default_rng((seed, 10_001))
    weights = rng.standard_normal((size.features, size.voxels), dtype=np.float32)
    weights *= rng.random(weights.shape, dtype=np.float32) < 10 / size.features
    weights[:, ::5] = 0.0
    return weights


def respond(features: _Floats, weights: _Floats, rng: np.random.Generator) -> _Floats:
    """Return centred responses (rows, voxels) float32: features two rows earlier, and slow noise."""
    signal = delayed(features, [2]).astype(np.float32) @ weights
    scale = np.sqrt(_SIGNAL / np.maximum((weights**2).sum(axis=0), np.float32(1e-6)))
    noise = slow(rng, signal.shape, _NOISE_SLOWNESS) * np.float32(np.sqrt(1 - _SIGNAL))
    responses = signal * scale.astype(np.float32) + noise
    return responses - responses.mean(axis=0)


def write_problem(size: Size, folder: Path, seed: int = 0) -> None:
    """Write x, y, x_test, y_test (float32) and fold as .npy; the last story of `size.stories` + 1 is the test story."""
    folder.mkdir(parents=True, exist_ok=True)
    longer = Size(size.rows + size.rows // size.stories, size.features, size.voxels, size.stories + 1)
    weights = voxel_weights(size, seed)
    x, y, fold = [], [], []
    for number, features in stories(longer, seed):
        x.append(delayed(features, DELAYS).astype(np.float32))
        y.append(respond(features, weights, np.random.default_rng((seed, number, 1))))
        fold.append(np.full(len(features), number % N_FOLDS))
    arrays = {
        "x": np.vstack(x[:-1]),
        "y": np.vstack(y[:-1]),
        "fold": np.concatenate(fold[:-1]),
        "x_test": x[-1],
        "y_test": y[-1],
    }
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values)
