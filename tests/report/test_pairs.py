from __future__ import annotations

import numpy as np
import pytest

from qaemb.encoding.jackknife import Jackknife
from qaemb.report.jobs import paired

NOISE = np.random.default_rng(0).normal(0, 0.1, 8)


def _mean(r: float, key: str = "k") -> Jackknife:
    return Jackknife(np.array(r), r + NOISE, np.repeat([0, 1], 4), key)


def test_shared_noise_cancels_in_a_paired_difference():
    table = paired({"qa": {"S1": _mean(0.3)}, "word_rate": {"S1": _mean(0.1)}}, ["word_rate"])
    assert table[["subject", "model", "baseline"]].values.tolist() == [["S1", "qa", "word_rate"]]
    assert table.loc[0, ["difference", "low", "high"]].tolist() == pytest.approx([0.2, 0.2, 0.2])


def test_what_can_not_be_paired_is_left_out():
    means = {"qa": {"S1": _mean(0.3), "S2": _mean(0.3)}, "word_rate": {"S1": _mean(0.1, "other rows")}}
    assert paired(means, ["word_rate", "embedding"]).empty
    assert list(paired({}, []).columns) == ["subject", "model", "baseline", "difference", "low", "high"]
