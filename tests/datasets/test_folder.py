import shutil

import h5py
import numpy as np
import pandas as pd
import pytest

from qaemb.datasets.folder import _FolderSource
from qaemb.datasets.words import LabelRules
from qaemb.errors import BadInput
from qaemb.settings import SegmentationSettings, Settings
from qaemb.stages.inputs import dataset, segments
from qaemb.workspace import Workspace

STORIES = ["cake", "dog", "fire", "lake", "moon", "snow"]


def edit(path, change):
    table = pd.read_csv(path, keep_default_na=False)
    change(table).to_csv(path, index=False)


def test_what_is_there(own_folder):
    source = _FolderSource(own_folder)
    assert source.stories() == STORIES
    assert source.subjects() == ["anna", "ben"]
    assert source.held_out() == {"snow"}
    assert vars(source.timing("cake")) == {"n_trs": 30, "tr_s": 2.0, "first_tr_s": 1.0}
    (own_folder / "responses/ben/moon.npy").unlink()
    assert not source.has("ben", "moon")


def test_stages_dataset_and_segments_run(own_folder, settings_for, tmp_path, capsys):
    changes = {"adapter": "folder", "subjects": ["anna", "ben"], "test_stories": ["snow"]}
    section = settings_for(own_folder, **changes).dataset
    segmentations = {"words3": SegmentationSettings(kind="words", before=3), "tr": SegmentationSettings(kind="tr")}
    settings, workspace = Settings.model_construct(dataset=section, segments=segmentations), Workspace(tmp_path)
    dataset(settings, workspace)
    assert capsys.readouterr().out == ("dataset small: 5 train and 1 test stories, 720 words, 180 TRs, 2 subjects\n")
    for name in segmentations:
        segments(settings, workspace, name)
    tr = pd.read_parquet(workspace.segments("tr") / "occurrences.parquet")
    assert tr["story"].tolist() == [story for story in STORIES for _ in range(30)]
    assert tr["time_s"].tolist()[:2] == [1.0, 3.0]
    texts = pd.read_parquet(workspace.segments("tr") / "segments.parquet").set_index("segment_id")["text"]
    words = pd.read_csv(own_folder / "words/cake.csv")["word"].str.lower()
    assert texts[tr["segment_id"][0]] == " ".join(words[:4])
    with h5py.File(workspace.dataset / "responses/anna.h5") as file:
        assert sorted(file["data"]) == STORIES
        assert list(file["repeats"]) == ["snow"]
        own = np.load(own_folder / "repeats/anna/snow.npy").astype(np.float32)
        np.testing.assert_array_equal(file["repeats/snow"][:], own)


def test_words_of_a_csv_and_of_a_textgrid_are_the_same(own_folder):
    words = _FolderSource(own_folder).words("dog")
    (own_folder / "words/dog.TextGrid").unlink()
    words.to_csv(own_folder / "words/dog.csv", index=False)
    pd.testing.assert_frame_equal(_FolderSource(own_folder).words("dog"), words)


def test_words_that_look_like_missing_values_stay_words(own_folder):
    path = own_folder / "words/cake.csv"
    path.write_text("word,onset_s,offset_s\nNULL,0,1\nnan,1,2\n{BR},2,3\n,3,4\n NA ,4,5\n")
    words = _FolderSource(own_folder).words("cake")
    assert words.values.tolist() == [["null", 0, 1], ["nan", 1, 2], ["na", 4, 5]]


def test_responses_in_hdf5_with_repeats(own_folder):
    with h5py.File(own_folder / "responses/ben/snow.h5", "w") as file:
        file["data"] = np.ones((30, 8), np.float32)
        file["individual_repeats"] = np.ones((2, 30, 8))
    (own_folder / "responses/ben/snow.npy").unlink()
    with _FolderSource(own_folder).responses("ben", "snow") as responses:
        assert responses.data.shape == (30, 8)
        assert responses.repeats.shape == (2, 30, 8)


def test_first_tr_of_the_table(own_folder):
    edit(own_folder / "stories.csv", lambda table: table.assign(first_tr_s=11))
    assert _FolderSource(own_folder).timing("cake").first_tr_s == 11


def test_voxels_for_all_subjects_or_for_each(own_folder):
    path = own_folder / "voxels.csv"
    table = pd.DataFrame({"voxel": range(8), "hemi": "left", "vertex": range(0, 80, 10)})
    table.to_csv(path, index=False)
    assert _FolderSource(own_folder).voxels("ben")["region"].tolist() == [""] * 8
    both = pd.concat([table.assign(subject="anna"), table.assign(subject="ben", hemi="right", region="v1")])
    both.to_csv(path, index=False)
    own = _FolderSource(own_folder).voxels("ben")
    assert set(own["hemi"]) == {"right"}
    assert set(own["region"]) == {"v1"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="tr_s"), r"stories\.csv lacks the columns: tr_s; there are: story, split \(separ"),
        (lambda t: t.assign(tr_s=["2"] * 5 + ["two"]), r"stories\.csv, row 7: `tr_s` should be a number, not `two`"),
        (lambda t: t.assign(tr_s=0), r"stories\.csv, row 2: `tr_s` is above 0"),
        (lambda t: t.assign(split="dev"), r"stories\.csv, row 2: `split` is train or test"),
        (lambda t: pd.concat([t, t[:1]]), r"stories\.csv, row 8: the story is there twice"),
        (lambda t: t.assign(story="a/b"), r"stories\.csv, row 2: `story` is empty or holds a slash"),
        (lambda t: t[:0], r"stories\.csv lists no stories"),
    ],
)
def test_wrong_stories(own_folder, change, message):
    edit(own_folder / "stories.csv", change)
    with pytest.raises(BadInput, match=message):
        _FolderSource(own_folder)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a,0,1\nb,x,2", r"cake\.csv, row 3: `onset_s` should be a number, not `x`"),
        ("a,0,1\nb,1,", r"cake\.csv, row 3: `offset_s` should be a number, not ``"),
        ("a,0,1\nb,1,inf\nc,,", r"cake\.csv, row 4: `onset_s` should be a number"),
        ("a,0,1\nsp,1,2\nb,2,1", r"cake\.csv, row 4: `b` at 2 s ends before it starts, at 1 s"),
        ("a,3,4\nb,0,1\nc,5,6\nd,2,3", r"cake\.csv, row 3: `b` at 0 s is out of order.* \(and 1 more rows\)"),
        ("sp,0,1", r"cake\.csv holds no words"),
    ],
)
def test_wrong_words(own_folder, rows, message):
    (own_folder / "words/cake.csv").write_text(f"word,onset_s,offset_s\n{rows}\n")
    with pytest.raises(BadInput, match=message):
        _FolderSource(own_folder).words("cake")


def test_words_in_another_encoding(own_folder):
    path = own_folder / "words/cake.csv"
    path.write_bytes("word,onset_s,offset_s\ncafé,0,1\n".encode("latin-1"))
    with pytest.raises(BadInput, match=r"cake\.csv is not UTF-8 text .*; save it as UTF-8"):
        _FolderSource(own_folder).words("cake")
    path.write_text("word;onset_s;offset_s\na;0;1\n")
    with pytest.raises(BadInput, match=r"lacks the columns: word, onset_s, offset_s; .*\(separated by commas"):
        _FolderSource(own_folder).words("cake")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (
            np.zeros((29, 8)),
            r"ben/cake\.npy: the responses have 29 rows, expected 30 \(the rows of anna, who has 30 x 8",
        ),
        (np.zeros(30), r"ben/cake\.npy: the responses are 30, expected \(n_trs, voxels\)"),
        (np.array([[None]]), r"ben/cake\.npy can't be read as \.npy"),
        (np.array([["a"]]), r"ben/cake\.npy: the responses are of type <U1, expected numbers"),
    ],
)
def test_wrong_responses(own_folder, array, message):
    np.save(own_folder / "responses/ben/cake.npy", array)
    with pytest.raises(BadInput, match=message), _FolderSource(own_folder).responses("ben", "cake"):
        pass


def test_a_cut_npy(own_folder):
    path = own_folder / "responses/ben/cake.npy"
    path.write_bytes(path.read_bytes()[:-8])
    with (
        pytest.raises(BadInput, match=r"cake\.npy can't be read as \.npy"),
        _FolderSource(own_folder).responses("ben", "cake"),
    ):
        pass


def test_repeats_of_another_shape(own_folder):
    np.save(own_folder / "repeats/anna/snow.npy", np.zeros((3, 30, 7)))
    source = _FolderSource(own_folder)
    message = "the repeats are 3 x 30 x 7, expected repeats x 30 x 8"
    with pytest.raises(BadInput, match=message), source.responses("anna", "snow"):
        pass


def test_two_files_of_one_thing(own_folder):
    shutil.copy(own_folder / "words/cake.csv", own_folder / "words/dog.csv")
    (own_folder / "responses/ben/cake.hf5").touch()
    source = _FolderSource(own_folder)
    with pytest.raises(BadInput, match=r"dog\.csv: dog\.TextGrid is there as well; remove one"):
        source.words("dog")
    with pytest.raises(BadInput, match=r"cake\.npy: cake\.hf5 is there as well; remove one"):
        source.has("ben", "cake")


def test_a_story_without_words_or_responses(own_folder):
    (own_folder / "words/cake.csv").unlink()
    for subject in ("anna", "ben"):
        (own_folder / "responses" / subject / "cake.npy").unlink()
    source = _FolderSource(own_folder)
    with pytest.raises(BadInput, match=r"words/cake\.csv does not exist"):
        source.words("cake")
    with pytest.raises(BadInput, match=r"responses holds no SUBJECT/cake"):
        source.timing("cake")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("0,top,5", "row 3: `hemi` is left or right"),
        ("1,left,10242", "row 3: `vertex` is 0 to 10241"),
        ("-1,left,5", "row 3: `voxel` is a column of the responses"),
        ("0,left,6", "row 3: the voxel is there twice"),
        ("one,left,6", "row 3: `voxel` should be a number, not `one`"),
    ],
)
def test_wrong_voxels(own_folder, row, message):
    (own_folder / "voxels.csv").write_text(f"voxel,hemi,vertex\n0,left,4\n{row}\n")
    with pytest.raises(BadInput, match=message):
        _FolderSource(own_folder).voxels("anna")


def test_a_csv_of_sentences_is_refused(own_folder):
    rows = "We bought a green kite,1,2\nand flew it,2,3\nyes,3,4\n"
    (own_folder / "words/cake.csv").write_text(f"word,onset_s,offset_s\n{rows}")
    with pytest.raises(BadInput, match=r"cake\.csv: 2 of 3 labels hold several words, .*: sentences, not words"):
        _FolderSource(own_folder).words("cake")


def test_marks_of_a_csv_are_left_out_and_counted(own_folder):
    (own_folder / "words/cake.csv").write_text("word,onset_s,offset_s\nyes,-1,2\n<unk>,2,3\nuh,3,4\n,4,5\n")
    words = _FolderSource(own_folder, LabelRules(marks=frozenset({"uh"}))).words("cake")
    assert words.values.tolist() == [["yes", -1, 2]]
    assert words.attrs["marks"] == {"<unk>": 1, "uh": 1}
    assert words.attrs["notes"] == ["`yes` at -1 s starts before time 0; it stays there"]
