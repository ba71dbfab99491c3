import math

import numpy as np
import pytest

from qaemb.errors import BadInput
from qaemb.stimuli.lanczos import lanczos_matrix

TR_TIMES = 11.0 + 2.0 * np.arange(12)


@pytest.mark.parametrize(
    ("seconds_after", "weight"),
    [
        (0.0, 1.0),
        (1.0, 0.6079271),  # t = 1/2: sinc(1/2) sinc(1/6) = (2 / pi) (3 / pi) = 6 / pi^2
        (2.0, 0.0),
        (3.0, -0.1350949),  # t = 3/2: sinc(3/2) sinc(1/2) = (-2 / 3 pi) (2 / pi) = -4 / (3 pi^2)
        (6.0, 0.0),
        (7.0, 0.0),  # outside of the three lobes
    ],
)
def test_weights_computed_by_hand(seconds_after, weight):
    word = TR_TIMES[5]
    matrix = lanczos_matrix(np.array([word]), TR_TIMES + seconds_after)
    assert matrix[5, 0] == pytest.approx(weight, abs=1e-7)
    matrix = lanczos_matrix(np.array([word]), TR_TIMES - seconds_after)
    assert matrix[5, 0] == pytest.approx(weight, abs=1e-7)


@pytest.mark.parametrize("lobes", [1, 2, 3, 5])
def test_against_the_formula_in_a_loop(lobes):
    words = np.sort(np.random.default_rng(0).uniform(5, 40, 60))
    expected = np.zeros((len(TR_TIMES), len(words)))
    for i, tr in enumerate(TR_TIMES):
        for j, word in enumerate(words):
            t = (tr - word) / 2.0
            if abs(t) <= lobes:
                expected[i, j] = lobes * math.sin(math.pi * t) * math.sin(math.pi * t / lobes) / (math.pi * t) ** 2
    np.testing.assert_allclose(lanczos_matrix(words, TR_TIMES, lobes), expected, atol=1e-12)


def test_values_grow_with_the_words_per_tr():
    one = lanczos_matrix(np.array([21.0]), TR_TIMES).sum()
    three = lanczos_matrix(np.array([20.9, 21.0, 21.1]), TR_TIMES).sum()
    assert three == pytest.approx(3 * one, rel=0.02)


def test_one_tr_has_no_rate():
    with pytest.raises(BadInput, match="at least two TRs"):
        lanczos_matrix(np.array([1.0]), np.array([1.0]))
