from __future__ import annotations

import numpy as np

from qaemb.selection.nested import _one_standard_error


def test_the_smallest_size_within_one_error_of_the_best():
    folds = np.array([[0.10, 0.12, 0.11], [0.18, 0.22, 0.20], [0.19, 0.23, 0.21], [0.185, 0.225, 0.205]])
    # Best is the third, mean .21, error .02/sqrt(3) = .0115: the second is within it, the first is not.
    assert _one_standard_error(np.array([5, 10, 20, 30]), folds) == 1


def test_without_spread_the_best_itself_is_taken():
    folds = np.array([[0.1, 0.1], [0.2, 0.2], [0.3, 0.3]])
    assert _one_standard_error(np.array([5, 10, 20]), folds) == 2


def test_of_equal_scores_the_smaller_set_is_taken():
    folds = np.array([[0.3, 0.3], [0.3, 0.3]])
    assert _one_standard_error(np.array([20, 5]), folds) == 1
