"""Other intervals of the mean r, and block permutation: what docs/statistics.md compares the package's methods with."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import stats

from qaemb.encoding.jackknife import _block_starts, jackknife_r
from qaemb.encoding.scores import correlation

Stories = list[np.ndarray]
Counts = Callable[[np.random.Generator, int], np.ndarray]
N_DRAWS = 300
LEVELS = np.array([0.025, 0.975])


def intervals(predicted: Stories, measured: Stories, seed: int) -> dict[str, tuple[float, float]]:
    """Return method -> 95 % interval of the mean over voxels and stories of r."""
    rng = np.random.default_rng(seed)
    value = np.mean([correlation(p, m).mean() for p, m in zip(predicted, measured, strict=True)])
    series = [influence(p, m) for p, m in zip(predicted, measured, strict=True)]
    length = np.mean([politis_white(own) for own in series])
    fixed = _draws(predicted, measured, lambda n: _fixed_blocks(rng, n, 10))
    circular = _draws(predicted, measured, lambda n: _circular(rng, n, round(length)))
    stationary = _draws(predicted, measured, lambda n: _stationary(rng, n, length))
    return {
        "blocks of 10, percentile": tuple(np.quantile(fixed, LEVELS)),
        "blocks of 10, basic": _basic(value, fixed),
        "circular, Politis-White length, basic": _basic(value, circular),
        "the same on Fisher's z": tuple(np.tanh(_basic(np.arctanh(value), np.arctanh(circular)))),
        "the same, BCa": _bca(value, circular, jackknife_r(predicted, measured, 10).left_out.mean(axis=1)),
        "stationary, Politis-White length, basic": _basic(value, stationary),
        "blocks of 10, studentised": _studentised(value, series, rng),
        "t of r in blocks of 25": _block_estimates(predicted, measured, 25),
        "t of 0.41 n^(2/3) cosines": _cosines(value, series),
    }


def influence(predicted: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Return how much each row raises the mean over voxels of r, (n_rows,), with mean 0."""
    a, b = ((own - own.mean(axis=0)) / own.std(axis=0) for own in (predicted, measured))
    return (a * b - correlation(a, b) / 2 * (a**2 + b**2)).mean(axis=1)


def politis_white(x: np.ndarray) -> float:
    """Return the block length of Politis & White (2004, corrected 2009) for the circular bootstrap of a mean."""
    n = len(x)
    enough, most = max(5, int(np.sqrt(np.log10(n)))), int(np.ceil(np.sqrt(n)))
    covariance = np.array([(x[: n - lag] * x[lag:]).sum() / n for lag in range(most + enough + 1)])
    small = np.abs(covariance / covariance[0]) < 2 * np.sqrt(np.log10(n) / n)
    first = next((lag for lag in range(1, most + 1) if small[lag : lag + enough].all()), most)
    lags = np.arange(-2 * max(first - 1, 1), 2 * max(first - 1, 1) + 1)
    lags = lags[np.abs(lags) < len(covariance)]
    window = np.clip(2 * (1 - np.abs(lags) / lags.max()), 0, 1)
    spectrum = (window * covariance[np.abs(lags)]).sum()
    slope = (window * np.abs(lags) * covariance[np.abs(lags)]).sum()
    longest = np.ceil(min(3 * np.sqrt(n), n / 3))
    return float(np.clip((1.5 * (slope / spectrum) ** 2 * n) ** (1 / 3), 1, longest)) if spectrum > 0 else longest


def permuted_blocks_p(predicted: Stories, measured: Stories, block: int, seed: int) -> np.ndarray:
    """Return p of each voxel's mean r against predictions whose blocks of rows are shuffled inside each story."""
    rng, null = np.random.default_rng(seed), np.zeros((N_DRAWS, measured[0].shape[1]))
    r = np.mean([correlation(p, m) for p, m in zip(predicted, measured, strict=True)], axis=0)
    for draw in range(N_DRAWS):
        for p, m in zip(predicted, measured, strict=True):
            blocks = np.array_split(np.arange(len(p)), np.arange(block, len(p), block))
            order = np.concatenate([blocks[i] for i in rng.permutation(len(blocks))])
            null[draw] += correlation(p[order], m) / len(measured)
    return (1 + (null >= r).sum(axis=0)) / (1 + N_DRAWS)


def bootstrap_difference_p(a: Stories, b: Stories, measured: Stories, block: int, seed: int) -> np.ndarray:
    """Return two-sided p of each voxel's r of A minus that of B, from the share of circular bootstraps above 0."""
    rng, draws = np.random.default_rng(seed), np.zeros((N_DRAWS, measured[0].shape[1]))
    for own_a, own_b, m in zip(a, b, measured, strict=True):
        counts = _circular(rng, len(m), block)
        draws += (_resampled(own_a, m, counts) - _resampled(own_b, m, counts)) / len(measured)
    below = (1 + (draws <= 0).sum(axis=0)) / (1 + N_DRAWS)
    return np.minimum(2 * np.minimum(below, 1 - below + 1 / (1 + N_DRAWS)), 1)


def _draws(predicted: Stories, measured: Stories, counts: Callable[[int], np.ndarray]) -> np.ndarray:
    drawn = [_resampled(p, m, counts(len(p))).mean(axis=1) for p, m in zip(predicted, measured, strict=True)]
    return np.mean(drawn, axis=0)


def _resampled(p: np.ndarray, m: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return r (draws, voxels) of rows drawn `counts` (draws, n_rows) times."""
    n = counts.sum(axis=1)[:, None]
    sum_p, sum_m, pm, pp, mm = (counts @ own for own in (p, m, p * m, p**2, m**2))
    return (pm - sum_p * sum_m / n) / np.sqrt((pp - sum_p**2 / n) * (mm - sum_m**2 / n))


def _fixed_blocks(rng: np.random.Generator, n: int, block: int) -> np.ndarray:
    n_blocks = -(-n // block)
    drawn = rng.integers(n_blocks, size=(N_DRAWS, n_blocks))
    counts = np.zeros((N_DRAWS, n_blocks))
    np.add.at(counts, (np.arange(N_DRAWS)[:, None], drawn), 1.0)
    return np.repeat(counts, block, axis=1)[:, :n]


def _circular(rng: np.random.Generator, n: int, block: int) -> np.ndarray:
    starts = rng.integers(n, size=(N_DRAWS, -(-n // block)))
    return _counted((starts[:, :, None] + np.arange(block)).reshape(N_DRAWS, -1)[:, :n] % n, n)


def _stationary(rng: np.random.Generator, n: int, length: float) -> np.ndarray:
    rows, jump = rng.integers(n, size=(N_DRAWS, n)), rng.random((N_DRAWS, n)) < 1 / length
    for t in range(1, n):
        rows[:, t] = np.where(jump[:, t], rows[:, t], (rows[:, t - 1] + 1) % n)
    return _counted(rows, n)


def _counted(rows: np.ndarray, n: int) -> np.ndarray:
    counts = np.zeros((N_DRAWS, n))
    np.add.at(counts, (np.arange(N_DRAWS)[:, None], rows), 1.0)
    return counts


def _basic(value: float, draws: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(2 * value - draws, LEVELS)
    return low, high


def _bca(value: float, draws: np.ndarray, left_out: np.ndarray) -> tuple[float, float]:
    shift = stats.norm.ppf(np.clip((draws < value).mean(), 0.01, 0.99))
    away = left_out.mean() - left_out
    acceleration = (away**3).sum() / (6 * (away**2).sum() ** 1.5)
    z = shift + stats.norm.ppf(LEVELS)
    low, high = np.quantile(draws, stats.norm.cdf(shift + z / (1 - acceleration * z)))
    return low, high


def _studentised(value: float, series: Stories, rng: np.random.Generator) -> tuple[float, float]:
    """On the rows' influence: each draw is divided by the standard error that its own blocks give."""
    means, variances, variance = 0.0, 0.0, 0.0
    for own in series:
        starts = np.arange(0, len(own), 10)
        sums = np.add.reduceat(own, starts)
        n_blocks = len(sums)
        drawn = sums[rng.integers(n_blocks, size=(N_DRAWS, n_blocks))]
        means = means + drawn.sum(axis=1) / len(own)
        variances = variances + n_blocks * drawn.var(axis=1, ddof=1) / len(own) ** 2
        variance += n_blocks * sums.var(ddof=1) / len(own) ** 2
    high, low = np.quantile(means / np.sqrt(variances), LEVELS) * np.sqrt(variance) / len(series)
    return value - low, value - high


def _block_estimates(predicted: Stories, measured: Stories, block: int) -> tuple[float, float]:
    estimates = [
        correlation(p_block, m_block).mean()
        for p, m in zip(predicted, measured, strict=True)
        for p_block, m_block in zip(*(np.split(own, _block_starts(len(own), block)[1:]) for own in (p, m)), strict=True)
    ]
    low, high = stats.ttest_1samp(estimates, 0).confidence_interval()
    return low, high


def _cosines(value: float, series: Stories) -> tuple[float, float]:
    """The long-run variance from the lowest cosine transforms (Lazarus et al., 2018), and Student's t."""
    variance, freedom = 0.0, 0
    for own in series:
        n = len(own)
        number = int(0.41 * n ** (2 / 3))
        waves = np.sqrt(2 / n) * np.cos(np.pi * np.arange(1, number + 1)[:, None] * (np.arange(n) + 0.5) / n)
        variance += ((waves @ own) ** 2).mean() / n / len(series) ** 2
        freedom += number
    half = stats.t.isf(LEVELS[0], freedom) * np.sqrt(variance)
    return value - half, value + half
