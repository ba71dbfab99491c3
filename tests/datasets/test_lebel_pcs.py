import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from qaemb.datasets.lebel_pcs import LebelPcs, _spread_words
from qaemb.datasets.write import choose_stories
from qaemb.errors import BadInput
from qaemb.stages.inputs import dataset
from qaemb.workspace import Workspace

TEXTS = {
    "one": ["we went", "", "home {BR} again today"],
    "two": ["so", "it was", "late", "{cg}"],
    "exam": ["a test", "of it"],
}
SPLITS = {"one": "train", "two": "train", "exam": "test"}
HEARD = {"uts01": ["one", "exam"], "uts03": ["one", "two", "exam"]}
QUESTIONS = ["Is it late?", "Is it home?"]


def components(subject, story):
    rng = np.random.default_rng([ord(subject[-1]), len(story)])
    return rng.normal(size=(len(TEXTS[story]), 4)).astype(np.float16)


def labels(story):
    return np.random.default_rng(len(story)).random((len(TEXTS[story]), 2)) < 0.5


@pytest.fixture
def repacked(tmp_path):
    folder = tmp_path / "repacked"
    folder.mkdir()
    entries = {story: {"split": SPLITS[story], "texts": texts} for story, texts in TEXTS.items()}
    (folder / "texts.json").write_text(json.dumps(entries))
    for subject, stories in HEARD.items():
        np.savez(folder / f"{subject}.npz", **{story: components(subject, story) for story in stories})
    np.savez(folder / "gpt4_labels.npz", questions=np.array(QUESTIONS), **{story: labels(story) for story in TEXTS})
    return folder


@pytest.fixture
def published(tmp_path):
    folder = tmp_path / "published"
    for subject, stories in HEARD.items():
        for story in stories:
            path = folder / subject / SPLITS[story] / f"{story}.pkl"
            path.parent.mkdir(parents=True, exist_ok=True)
            columns = [f"PC{i}" for i in range(4)]
            pd.DataFrame(components(subject, story), columns=columns, index=TEXTS[story]).to_pickle(path)
    for story in TEXTS:
        path = folder / "labels" / SPLITS[story] / f"{story}_labels.pkl"
        path.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(labels(story), columns=QUESTIONS).to_pickle(path)
    return folder


@pytest.mark.parametrize("form", ["repacked", "published"])
def test_both_forms_hold_the_same(form, request):
    source = LebelPcs(request.getfixturevalue(form))
    assert source.stories() == ["exam", "one", "two"]
    assert source.held_out() == {"exam"}
    assert source.subjects() == ["uts01", "uts03"]
    assert not source.has("uts01", "two")
    timing = source.timing("one")
    assert (timing.n_trs, timing.tr_s, timing.first_tr_s) == (3, 2.0, 1.0)
    assert source.words("one")["word"].tolist() == ["we", "went", "home", "again", "today"]
    with source.responses("uts03", "two") as responses:
        np.testing.assert_array_equal(responses.data, components("uts03", "two"))
        assert responses.repeats is None
    table = source.published("two")["gpt4"]
    assert table.columns.tolist() == QUESTIONS
    np.testing.assert_array_equal(table, labels("two").astype(np.float32))
    assert table.dtypes.unique().tolist() == [np.float32]


def test_words_are_spread_evenly_over_their_tr():
    words = _spread_words(["a b c d", "", "e {NS}"])
    assert words["onset_s"].tolist() == [0.0, 0.5, 1.0, 1.5, 4.0]
    assert words["offset_s"].tolist() == [0.5, 1.0, 1.5, 2.0, 6.0]


def test_stories_kept_for_testing_are_not_trained_on(repacked):
    source = LebelPcs(repacked)
    assert choose_stories(source, ["uts01", "uts03"], ["exam"], "all").train == ["one", "two"]
    assert choose_stories(source, ["uts01", "uts03"], ["exam"], "shared").train == ["one"]
    assert choose_stories(source, ["uts03"], ["two"], "all").train == ["one"]


@pytest.mark.parametrize("form", ["repacked", "published"])
def test_stage(form, request, tmp_path, settings_for):
    folder = request.getfixturevalue(form)
    settings = settings_for(folder, adapter="lebel_pcs", subjects=["uts01", "uts03"], test_stories=["exam"])
    workspace = Workspace(tmp_path / "root")
    dataset(settings, workspace)
    table = pd.read_parquet(workspace.dataset / "published" / "gpt4.parquet")
    assert table.columns.tolist() == ["story", "tr", *QUESTIONS]
    assert table["tr"].dtype == np.int32
    assert len(pd.read_parquet(workspace.dataset / "sentences.parquet")) == 0
    assert not (workspace.dataset / "gold.parquet").exists()
    assert not (workspace.dataset / "voxels.parquet").exists()
    summary = json.loads((workspace.dataset / "summary.json").read_text())
    assert summary["subjects"]["uts01"]["missing"] == ["two"]


def test_wrong_number_of_rows(repacked):
    np.savez(repacked / "uts01.npz", one=np.zeros((5, 4)), exam=np.zeros((2, 4)))
    with (
        pytest.raises(BadInput, match=r"uts01\.npz: one has 5 rows, expected 3"),
        LebelPcs(repacked).responses("uts01", "one"),
    ):
        pass


def test_wrong_labels(repacked):
    np.savez(repacked / "gpt4_labels.npz", questions=np.array(QUESTIONS), one=np.zeros((2, 2)), two=np.zeros((4, 3)))
    source = LebelPcs(repacked)
    with pytest.raises(BadInput, match=r"gpt4_labels\.npz: one has 2 rows, expected 3"):
        source.published("one")
    with pytest.raises(BadInput, match=r"gpt4_labels\.npz: two is \(4, 3\)"):
        source.published("two")
    with pytest.raises(BadInput, match=r"gpt4_labels\.npz has no array `exam`"):
        source.published("exam")


def test_a_question_twice(repacked):
    np.savez(repacked / "gpt4_labels.npz", questions=np.array(["Same?", "Same?"]), one=np.zeros((3, 2)))
    with pytest.raises(BadInput, match=r"the question `Same\?` is there twice"):
        LebelPcs(repacked).published("one")


def test_objects_in_an_npz_are_refused(repacked):
    np.savez(repacked / "uts01.npz", one=np.array([{"a": 1}], dtype=object))
    with pytest.raises(BadInput, match=r"uts01\.npz: array `one`"), LebelPcs(repacked).responses("uts01", "one"):
        pass


def test_a_cut_npz(repacked):
    path = repacked / "uts01.npz"
    path.write_bytes(path.read_bytes()[:100])
    source = LebelPcs(repacked)
    assert source.has("uts03", "one")
    with pytest.raises(BadInput, match=r"uts01\.npz can't be read"):
        source.has("uts01", "one")


@pytest.mark.parametrize(
    "content",
    ["{", "[]", '{"one": 1}', '{"one": {"split": "dev", "texts": []}}', '{"one": {"split": "test", "texts": [1]}}'],
)
def test_wrong_texts(repacked, content):
    (repacked / "texts.json").write_text(content)
    with pytest.raises(BadInput, match=r"texts\.json"):
        LebelPcs(repacked)


def test_a_story_without_words(repacked):
    entries = json.loads((repacked / "texts.json").read_text())
    entries["one"]["texts"] = ["", "{NS}", ""]
    (repacked / "texts.json").write_text(json.dumps(entries))
    with pytest.raises(BadInput, match="story one has no words"):
        LebelPcs(repacked).words("one")


def test_a_frame_without_components(published):
    path = published / "uts03" / "train" / "two.pkl"
    pd.DataFrame({"x": np.zeros(4)}, index=TEXTS["two"]).to_pickle(path)
    with pytest.raises(BadInput, match=r"two\.pkl has no columns PC0"), LebelPcs(published).responses("uts03", "two"):
        pass


def test_neither_form(tmp_path):
    with pytest.raises(BadInput, match=r"neither texts\.json nor"):
        LebelPcs(tmp_path)
    with pytest.raises(BadInput, match="is not there"):
        LebelPcs(tmp_path / "none")


@pytest.mark.skipif("QAEMB_LEBEL_PCS" not in os.environ, reason="QAEMB_LEBEL_PCS names no folder of lebel_pcs")
def test_the_real_data(tmp_path, settings_for):
    settings = settings_for(
        Path(os.environ["QAEMB_LEBEL_PCS"]).resolve(),
        adapter="lebel_pcs",
        subjects=["uts01", "uts03"],
        test_stories=["wheretheressmoke", "fromboyhoodtofatherhood"],
        train_stories="shared",
    )
    workspace = Workspace(tmp_path)
    dataset(settings, workspace)
    summary = json.loads((workspace.dataset / "summary.json").read_text())
    assert summary["stories"] == {"train": 93, "test": 2}
    for subject in ("uts01", "uts03"):
        of = summary["subjects"][subject]
        assert (of["voxels"], of["stories"], of["missing"], of["nan_voxels"]) == (200, 95, [], 0)
    stories = pd.read_parquet(workspace.dataset / "stories.parquet")
    labels_table = pd.read_parquet(workspace.dataset / "published" / "gpt4.parquet")
    assert len(labels_table) == stories["n_trs"].sum() == summary["trs"]
    assert labels_table.shape[1] == 2 + 86
    assert len(pd.read_parquet(workspace.dataset / "words.parquet")) == summary["words"] > 150_000
