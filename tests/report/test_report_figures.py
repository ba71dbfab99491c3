from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from qaemb.report.data import Histogram
from qaemb.report.figures import (
    _curve_figure,
    _grades_figure,
    _histogram_figure,
    _importance_figure,
    _scores_figure,
    _short,
)
from qaemb.report.style import BLUE, GREEN, ORANGE


def _pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)


def _count(content: bytes, colour: str) -> int:
    """Return how many pixels have a colour."""
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return int((np.abs(_pixels(content) - wanted).max(axis=-1) <= 2).sum())


SCORES = pd.DataFrame(
    {
        "model": ["gold", "word_rate", "broken"],
        "mean_r": [0.3, 0.1, np.nan],
        "r_low": [0.2, 0.05, np.nan],
        "r_high": [0.4, 0.15, np.nan],
        "mean_ceiling": [0.6, 0.6, np.nan],
    }
)


def test_the_same_numbers_give_the_same_bytes():
    assert _scores_figure("UTS01", SCORES) == _scores_figure("UTS01", SCORES)


def test_the_ceiling_is_drawn_only_where_it_is_known():
    without = SCORES.assign(mean_ceiling=np.nan)
    assert _count(_scores_figure("UTS01", SCORES), ORANGE) > 0
    assert _count(_scores_figure("UTS01", without), ORANGE) == 0


def test_one_model_without_an_interval_is_still_a_figure():
    one = pd.DataFrame({"model": ["$a_b$" * 30], "mean_r": 0.1, "r_low": np.nan, "r_high": np.nan, "mean_ceiling": 1.0})
    assert _count(_scores_figure("a" * 200, one), BLUE) > 0


def test_grades_below_chance_have_their_own_colour_and_nan_is_left_out():
    good, bad = _grades_figure("llm", ["a", "b"], [0.9, np.nan]), _grades_figure("llm", ["a", "b"], [0.9, 0.35])
    assert _count(good, ORANGE) == 0
    assert _count(bad, ORANGE) > 0


def test_importance_shows_the_sign_of_the_mean_weight():
    table = pd.DataFrame({"name": ["a", "b"], "importance": [1.0, 0.5], "signed": [0.2, -0.1]})
    content = _importance_figure("UTS01, qa", table)
    # A bar of half the length, so about twice as many pixels in the first colour.
    assert _count(content, GREEN) == pytest.approx(2 * _count(content, ORANGE), rel=0.05)


def test_the_areas_of_a_histogram_are_its_shares():
    edges = np.linspace(0, 1, 5)
    even = _histogram_figure("a", ("x", "y"), Histogram(np.array([5, 5, 5, 5]), edges))
    assert even == _histogram_figure("a", ("x", "y"), Histogram(np.array([1, 1, 1, 1]), edges))
    assert even != _histogram_figure("a", ("x", "y"), Histogram(np.array([2, 1, 1, 1]), edges))
    _histogram_figure("nothing counted", ("x", "y"), Histogram(np.zeros(4, dtype=int), edges), 0.5)


def test_the_curve_does_not_depend_on_the_order_of_its_rows():
    curve = pd.DataFrame(
        {"method": ["random", "elastic_net"] * 3, "n_questions": [1, 1, 5, 5, 9, 9], "r": np.arange(6.0)}
    )
    # Methods keep their colours whatever comes first, points are joined by size.
    assert _curve_figure("qa", curve, 5) == _curve_figure("qa", curve.iloc[[4, 2, 0, 5, 3, 1]], 5)


def test_the_chosen_size_is_marked_where_there_is_one():
    curve = pd.DataFrame({"method": "elastic_net", "n_questions": [1, 5, 9], "r": np.arange(3.0)})
    assert _count(_curve_figure("qa", curve, 5), ORANGE) > 0
    assert _count(_curve_figure("qa", curve, 0), ORANGE) == 0


def test_overlong_names_keep_their_start_and_end():
    assert _short("short_name") == "short_name"
    assert len(_short("a_very_long_question_name_that_goes_on_and_on", 20)) == 20
    assert _short("a_very_long_question_name_that_goes_on_and_on", 20).endswith("nd_on")
