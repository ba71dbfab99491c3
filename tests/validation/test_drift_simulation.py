"""How often a check raises a false alarm when nothing changed, and how often it finds a planted change."""

import numpy as np
import pytest

from qaemb.settings import DriftSettings
from qaemb.validation.drift import compare

from .versions import reference, version

_N_QUESTIONS = 30


def _answers(rng: np.random.Generator, n: int) -> np.ndarray:
    """Return margins whose questions share three themes, with yes rates from about 2 % to 98 % and heavy tails."""
    themes, weights = rng.normal(size=(n, 3)), np.random.default_rng(0).normal(size=(3, _N_QUESTIONS))
    return np.linspace(-4, 4, _N_QUESTIONS) + themes @ weights + rng.standard_t(4, size=(n, _N_QUESTIONS))


def _check(rng: np.random.Generator, n: int, share_common: float, shift: float = 0.0):
    """Compare two draws of n texts, some of them common and then answered alike, one question moved by `shift`."""
    n_common = int(share_common * n)
    before, fresh = _answers(rng, n), _answers(rng, n - n_common)
    now = np.concatenate([before[:n_common] + 0.1 * rng.normal(size=(n_common, _N_QUESTIONS)), fresh])
    now[:, 12] += shift
    texts = [f"text {number}" for number in range(n_common)] + [f"new {number}" for number in range(n - n_common)]
    return compare(reference(version(before)), version(now, texts=texts), DriftSettings())


@pytest.mark.parametrize(
    ("n", "n_checks"),
    [
        (50, 40),
        pytest.param(50, 1000, marks=pytest.mark.simulation),
        pytest.param(500, 1000, marks=pytest.mark.simulation),
    ],
)
@pytest.mark.parametrize("share_common", [0.0, 0.5])
def test_false_alarms_are_as_rare_as_alpha_says(n, n_checks, share_common):
    rng = np.random.default_rng(int(n + 10 * share_common))
    checks = [_check(rng, n, share_common) for _ in range(n_checks)]
    alarms = np.mean([len(drift.moved) + len(drift.pairs) > 0 for drift in checks])
    by_size_alone = np.mean([(drift.questions["ks"] > drift.limits.max_ks).any() for drift in checks])
    print(
        f"n {n}, {share_common:.0%} common: {alarms:.3f} of {n_checks} checks alarm, {by_size_alone:.3f} by size alone"
    )
    assert alarms <= 0.01 + 2.6 * np.sqrt(0.01 * 0.99 / n_checks)


def test_a_planted_shift_is_found_and_no_other():
    rng = np.random.default_rng(3)
    found = [_check(rng, 500, 0.5, shift=1.5).moved["name"].tolist() for _ in range(20)]
    assert found == [["q12"]] * 20
