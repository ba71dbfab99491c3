"""Look-up by text: served where it is published, answered once and kept where it is new, refused where it can't be."""

import threading

import numpy as np
import pandas as pd
import pytest

from qaemb.errors import BadInput, BadMatrix
from qaemb.identity import text_id
from qaemb.serving import ServedFeatures, features_for, historical_features

CORE = ["q07", "q02", "q05", "q11"]


@pytest.fixture(scope="module")
def served(published) -> ServedFeatures:
    return ServedFeatures(published.repo)


def test_published_texts_are_served_without_an_answerer(published, served):
    table = served.features_for([published.texts[4], published.texts[1], published.texts[4]], "core")
    assert table.index.tolist() == [published.texts[4], published.texts[1], published.texts[4]]
    assert table.columns.tolist() == CORE
    assert set(table.dtypes) == {np.dtype(np.float32)}
    assert np.array_equal(table.to_numpy(), published.margins[[4, 1, 4]][:, [7, 2, 5, 11]])


def test_new_texts_are_answered_once_and_then_served_everywhere(published, served, answerer):
    texts = ["A new text.", published.texts[0], "Another new text.", "A new text."]
    assert served.unknown(texts) == ["A new text.", "Another new text."]
    first = served.features_for(texts, "core", answerer)
    assert answerer.asked == ["A new text.", "Another new text."]
    again = features_for(published.repo, texts, "core")
    assert again.equals(first)
    assert answerer.asked == ["A new text.", "Another new text."]
    assert np.array_equal(first.loc[[published.texts[0]]].to_numpy()[0], published.margins[0, [7, 2, 5, 11]])
    everything = served.features_for(["A new text."], "full")
    assert np.array_equal(everything[CORE].to_numpy()[0], first.to_numpy()[0])
    now = pd.Timestamp.now(tz="UTC")
    asked = pd.DataFrame({"text": ["A new text."], "event_timestamp": now})
    history = historical_features(published.repo, asked, "core")
    assert np.array_equal(history[CORE].to_numpy()[0], first.to_numpy()[0])
    before = asked.assign(event_timestamp=now - pd.Timedelta(hours=1))
    with pytest.raises(BadInput, match=r"1 of 1 rows have no answer under `core` at their time.*answered only at"):
        historical_features(published.repo, before, "core")


def test_two_processes_worth_of_pushes_lose_no_row(published, served, answerer):
    others = [served, ServedFeatures(published.repo)]
    jobs = [
        threading.Thread(target=other.features_for, args=([f"Racing text {n}."], "full", answerer))
        for n, other in enumerate(others)
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    rows = pd.read_parquet(published.repo / "data" / "answers.parquet")["segment"]
    assert {text_id("Racing text 0."), text_id("Racing text 1.")} <= set(rows)
    assert rows.is_unique


def test_an_answerer_with_another_key_is_refused(served, answerer):
    answerer.key = "another"
    with pytest.raises(BadInput, match=r"key another is not that of the published answers.*answerer `hash`, job `j`"):
        served.features_for(["Text for another answerer."], "core", answerer)
    assert answerer.asked == []
    assert served.unknown(["Text for another answerer."]) == ["Text for another answerer."]


def test_an_answer_that_is_not_a_number_is_not_pushed(served, answerer, monkeypatch):
    def no_answer(texts, questions, progress=None):
        answers = type(answerer).answer(answerer, texts, questions)
        answers.margin[0, 0] = np.nan
        return answers

    monkeypatch.setattr(answerer, "answer", no_answer)
    with pytest.raises(BadMatrix, match="not a number"):
        served.features_for(["A text beyond words."], "core", answerer)
    assert served.unknown(["A text beyond words."]) == ["A text beyond words."]


def test_new_texts_need_an_answerer(served):
    with pytest.raises(BadInput, match=r"'Not published\.' has no published answers"):
        served.features_for(["Not published."], "core")


def test_unknown_sets_and_empty_texts_are_refused(published, served, answerer):
    with pytest.raises(BadInput, match="question set `gold` is not published; known are core, full"):
        served.features_for([published.texts[0]], "gold", answerer)
    with pytest.raises(BadInput, match="text number 1 is empty"):
        served.features_for([published.texts[0], " \n"], "core", answerer)
    with pytest.raises(BadInput, match="text number 0 is not a string but int"):
        served.features_for([3], "core", answerer)
    with pytest.raises(BadInput, match="`core_v_00000000` was never published; known of set `core` are core_v_"):
        served.features_for([published.texts[0]], "core_v_00000000", answerer)
    with pytest.raises(BadInput, match="text number 0 is not valid Unicode"):
        served.features_for(["\ud800"], "core", answerer)
    with pytest.raises(BadInput, match="there is no text"):
        served.features_for([], "core", answerer)


def test_a_folder_in_which_nothing_is_published_says_so(tmp_path):
    with pytest.raises(BadInput, match="publishes nothing"):
        ServedFeatures(tmp_path)
