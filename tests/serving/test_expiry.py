"""`ttl_days`: an answer that is too old is not served, online or in a join, but given anew."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from qaemb.answers import Answers
from qaemb.errors import BadInput
from qaemb.identity import text_id
from qaemb.serving import ServedFeatures, build_store, historical_features, open_store, read_manifest

from .test_versions import FIRST, MARGINS, make_repo

TEXTS = ["old", "fresh", "oldest"]
SEGMENTS = [text_id(text) for text in TEXTS]
NOW = pd.Timestamp.now(tz="UTC").floor("s")
DAY = pd.Timedelta(days=1)
TIMES = [NOW - 8 * DAY, NOW - 2 * DAY, NOW - 30 * DAY]
WEEK = replace(FIRST, ttl_days=7.0)


class Fives:
    key = "key-a"

    def answer(self, texts, questions, progress=None) -> Answers:
        values = np.full((len(texts), len(questions)), 5, np.float32)
        return Answers(values, np.ones_like(values))


@pytest.fixture
def repo(tmp_path):
    repo = make_repo(tmp_path)
    build_store(repo, WEEK, SEGMENTS, MARGINS, np.array([time.tz_convert(None).to_datetime64() for time in TIMES]))
    return repo


def test_the_manifest_keeps_it_and_is_without_it_as_it_was(repo):
    assert read_manifest(repo).ttl_days == 7
    assert open_store(repo).get_feature_view(f"answers_{WEEK.version}").ttl == pd.Timedelta(days=7)


def test_an_expired_answer_is_given_anew_and_then_served(repo):
    served = ServedFeatures(repo)
    assert served.unknown(TEXTS) == ["old", "oldest"]
    with pytest.raises(BadInput, match="'old' has no published answers"):
        served.features_for(TEXTS, "full")
    with pytest.raises(BadInput, match="2 segments have no answers under `full` that may be served"):
        served.features_of(SEGMENTS, "full")
    expected = np.float32([[5, 5, 5], MARGINS[1], [5, 5, 5]])
    np.testing.assert_array_equal(served.features_for(TEXTS, "full", Fives()), expected)
    np.testing.assert_array_equal(ServedFeatures(repo).features_for(TEXTS, "full"), expected)


def test_what_expires_while_it_is_online_is_not_served_though_feast_would(repo, monkeypatch):
    served = ServedFeatures(repo)
    assert served.unknown(["fresh"]) == []
    later = (NOW + 6 * DAY).timestamp()
    monkeypatch.setattr("qaemb.serving.lookup.time.time", lambda: later)
    assert served.unknown(["fresh"]) == ["fresh"]
    # Feast compares no times when it reads an online store.
    rows = served.store.get_online_features(
        features=served.store.get_feature_service("full"), entity_rows=[{"segment": SEGMENTS[1]}]
    ).to_dict()
    assert rows["q0"] == [MARGINS[1, 0]]


def test_a_join_respects_it(repo):
    asked = pd.DataFrame({"segment": [SEGMENTS[0]] * 3, "event_timestamp": [NOW - 7 * DAY, NOW, NOW - 9 * DAY]})
    found = historical_features(repo, asked, "full", missing="nan")
    np.testing.assert_array_equal(found["q2"], [MARGINS[0, 2], np.nan, np.nan])
    with pytest.raises(BadInput, match=r"1 of 1 rows.*its answers were older than 7 days \(publish.ttl_days\)"):
        historical_features(repo, asked.iloc[[1]], "full")
    with pytest.raises(BadInput, match=r"1 of 1 rows.*answered only at"):
        historical_features(repo, asked.iloc[[2]], "full")


def test_a_join_answers_what_is_missing_where_it_may(repo):
    asked = pd.DataFrame({"text": ["fresh", "never seen", "old"], "event_timestamp": NOW})
    found = historical_features(repo, asked, ["core", "full"], answerer=Fives())
    np.testing.assert_array_equal(found[["q0", "q1", "q2"]], [MARGINS[1], [5, 5, 5], [5, 5, 5]])
    assert ServedFeatures(repo).unknown(["never seen", "old"]) == []
    again = historical_features(repo, asked, ["core", "full"], answerer=Fives())
    pd.testing.assert_frame_equal(found, again)
    by_id = asked.assign(segment="unheard of").drop(columns="text")
    with pytest.raises(BadInput, match="give a column `text` in place of `segment`"):
        historical_features(repo, by_id, "core", answerer=Fives())
