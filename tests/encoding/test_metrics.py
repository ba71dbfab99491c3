from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qaemb.encoding import metrics
from qaemb.encoding.jackknife import Jackknife
from qaemb.encoding.metrics import EVERY_PROTOCOL, METRICS, SubjectScores, _Metric, summarise
from qaemb.encoding.plan import PROTOCOLS

DOCS = Path(__file__).parents[2] / "docs"


def scores(**changes) -> SubjectScores:
    r = np.array([[0.4, 0.2, np.nan, -0.2], [0.2, 0.0, np.nan, 0.0]])
    ceiling = np.array([[0.8, 0.4, np.nan, 0.0], [np.nan] * 4])
    mean = Jackknife(np.array(0.1), np.array([0.05, 0.15, 0.1, 0.1]), np.array([0, 0, 1, 1]))
    own = {"r": r.mean(axis=0), "story_r": r, "ceiling": ceiling, "p": np.array([0.001, 0.5, np.nan, 0.6])}
    own |= {"reliable": np.array([True, True, False, False]), "alpha": np.ones(4), "mean": mean}
    return SubjectScores("S", {"x": 5, "y": 5}, **{**own, **changes})


def test_metrics_by_hand():
    numbers = summarise(scores(), "strict")
    assert numbers["mean_r"] == pytest.approx(0.1)
    assert numbers["r_low"] < 0.1 < numbers["r_high"]
    assert numbers["mean_ceiling"] == pytest.approx(0.4)
    assert numbers["share_of_ceiling"] == pytest.approx(0.6 / 1.2)
    assert numbers["mean_cc_norm"] == pytest.approx((0.5 + 0.5) / 2)
    counts = {"n_significant": 1, "n_reliable": 2, "n_voxels": 4, "n_nan": 1}
    assert {name: numbers[name] for name in counts} == counts


def test_the_best_percent_is_at_least_one_voxel():
    r = np.linspace(-1, 1, 201)
    blank = {"ceiling": np.full((1, 201), np.nan), "reliable": np.zeros(201, dtype=bool), "p": np.full(201, np.nan)}
    numbers = summarise(scores(r=r, story_r=r[None], **blank), "paper")
    assert numbers["mean_r_top_1_percent"] == pytest.approx(r[-3:].mean())
    assert numbers["mean_r_top_5_percent"] == pytest.approx(r[-11:].mean())
    assert numbers["share_positive"] == pytest.approx(100 / 201)
    assert numbers["tuning_r"] is None  # without a model of components


def test_one_entry_is_all_that_a_metric_needs(monkeypatch):
    best = _Metric("best_r", "r of the best voxel", lambda s: float(np.nanmax(s.r)), title="best")
    monkeypatch.setattr(metrics, "METRICS", (*METRICS, best))
    assert summarise(scores(), "strict")["best_r"] == pytest.approx(0.3)


def test_entries_have_different_names_and_known_protocols():
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    assert {protocol for metric in METRICS for protocol in metric.protocols} == set(PROTOCOLS) == set(EVERY_PROTOCOL)


def test_the_table_of_the_docs_is_that_of_the_entries():
    rows = [
        f"| `{metric.name}` | {metric.meaning} | {metric.form} | "
        f"{'all' if metric.protocols == EVERY_PROTOCOL else ', '.join(metric.protocols)} |"
        for metric in METRICS
    ]
    table = "\n".join(["| metric | what it is | shown as | protocols |", "|---|---|---|---|", *rows])
    text = (DOCS / "statistics.md").read_text(encoding="utf-8")
    assert table in text, f"docs/statistics.md, between the marks `metrics`, should be\n{table}"
