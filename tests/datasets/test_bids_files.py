"""Which files of a BIDS folder belong together, what events say, and what is said of wrong files."""

import gzip
import json
import shutil

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from qaemb.datasets.bids import BidsSettings, BidsSource
from qaemb.datasets.bids.index import BidsIndex
from qaemb.datasets.bids.source import _read_events
from qaemb.datasets.registry import adapter_settings
from qaemb.errors import BadInput, BadParameter
from qaemb.settings import DatasetSettings

FUNC = "derivatives/fmriprep/sub-01/func/sub-01_task-cake"
IMAGE = f"{FUNC}_space-MNI_desc-preproc_bold.nii.gz"


def source_of(folder, **settings):
    return BidsSource(folder, BidsSettings(**settings))


def read(source, subject="sub-01", story="cake"):
    with source.responses(subject, story) as responses:
        return responses.data


@pytest.fixture
def events(tmp_path):
    def make(**columns):
        path = tmp_path / "a_events.tsv"
        pd.DataFrame(columns).to_csv(path, sep="\t", index=False)
        return path

    return make


def test_words_are_the_events_with_a_word(events):
    path = events(onset=[0.5, 1, 2, 3], duration=[0.5, 1, 0, 1], word=["So", "n/a", "{BR}", "we"])
    assert _read_events(path, BidsSettings()).values.tolist() == [["so", 0.5, 1.0], ["we", 3.0, 4.0]]


def test_words_are_of_one_trial_type_if_any_has_it(events):
    columns = {"onset": [0, 1, 2], "duration": [1, 1, "n/a"], "value": ["so", "we", "2"]}
    path = events(trial_type=["word", "word", "button"], **columns)
    assert _read_events(path, BidsSettings(word_column="value"))["word"].tolist() == ["so", "we"]
    path = events(trial_type=["noun", "verb", "noun"], **(columns | {"duration": 1}))
    assert _read_events(path, BidsSettings(word_column="value"))["word"].tolist() == ["so", "we", "2"]
    assert _read_events(path, BidsSettings(word_column="value", trial_type="verb"))["word"].tolist() == ["we"]
    assert _read_events(path, BidsSettings(word_column="trial_type"))["word"].tolist() == ["noun", "verb", "noun"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"onset": [1], "duration": [1]}, r"events\.tsv has no column `word` .* one of: onset, duration"),
        ({"duration": [1], "word": ["a"]}, r"events\.tsv lacks the columns: onset; .*\(separated by tabs"),
        ({"onset": [1, "n/a"], "duration": 1, "word": ["a", "b"]}, r"row 3: `onset` should be a number, not `n/a`"),
        ({"onset": [5, 9, 1], "duration": 1, "word": ["a", "n/a", "b"]}, r"row 4: `b` at 1 s is out of order"),
        ({"onset": [5], "duration": 1, "word": ["n/a"]}, r"events\.tsv holds no words"),
    ],
)
def test_wrong_events(events, columns, message):
    with pytest.raises(BadInput, match=message):
        _read_events(events(**columns), BidsSettings())


def test_events_of_the_run_come_before_those_for_all(bids_folder):
    raw = bids_folder / "sub-01" / "func"
    raw.mkdir(parents=True)
    own = raw / "sub-01_task-cake_events.tsv"
    shutil.copy(bids_folder / "task-cake_events.tsv", own)
    index = BidsIndex(bids_folder, BidsSettings())
    assert index.events(index.runs["sub-01", "cake"][0]) == own
    assert index.events(index.runs["sub-02", "cake"][0]) == bids_folder / "task-cake_events.tsv"
    (bids_folder / "task-cake_events.tsv").unlink()
    with pytest.raises(BadInput, match=r"holds no events for sub-02_task-cake_.* task-cake_events\.tsv; add one"):
        source_of(bids_folder).words("cake")


def shift(table):
    table["onset"] += 0.4
    return table


def rename(table):
    table.loc[3, "word"] = "other"
    return table


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (shift, r"have onsets up to 0.4 s apart, more than .*\(0.1\)"),
        (rename, "have different words; .*bids.story: run"),
    ],
)
def test_runs_of_a_story_have_the_same_words_at_the_same_times(bids_folder, change, message):
    raw = bids_folder / "sub-02" / "func"
    raw.mkdir(parents=True)
    table = change(pd.read_csv(bids_folder / "task-cake_events.tsv", sep="\t", keep_default_na=False))
    table.to_csv(raw / "sub-02_task-cake_events.tsv", sep="\t", index=False)
    with pytest.raises(BadInput, match=message):
        source_of(bids_folder).words("cake")
    assert len(source_of(bids_folder, exclude=["sub-02_*"]).words("cake")) == 120
    if change is shift:
        assert len(source_of(bids_folder, onset_tolerance_s=0.5).words("cake")) == 120


def test_sessions_of_a_task_are_repeats_and_variants_are_stories(bids_folder, write_run, bids_scan, bids_mask):
    for name in ("sub-03_ses-1_task-cake", "sub-03_ses-2_task-cake", "sub-03_ses-2_task-cake_acq-fast"):
        write_run(bids_folder, name, bids_scan("03", "cake"), bids_mask("03"))
    source = source_of(bids_folder)
    assert "cake_acq-fast" in source.stories()
    with source.responses("sub-03", "cake") as responses:
        assert len(responses.repeats) == 2


def test_links_that_were_never_fetched_are_missing_stories(bids_folder):
    path = bids_folder / IMAGE
    path.unlink()
    path.symlink_to("nowhere")
    source = source_of(bids_folder)
    assert not source.has("sub-01", "cake")
    assert source.has("sub-02", "cake")


def test_derivatives_of_another_name(bids_folder):
    shutil.move(bids_folder / "derivatives" / "fmriprep", bids_folder / "derivatives" / "prep-2")
    assert source_of(bids_folder, derivatives="derivatives/prep-2").subjects() == ["sub-01", "sub-02"]
    assert source_of(bids_folder).subjects() == ["sub-01", "sub-02"]  # the whole folder is searched
    with pytest.raises(BadInput, match=r"derivatives/none is not there; correct dataset\.bids\.derivatives"):
        source_of(bids_folder, derivatives="derivatives/none")


def test_no_folder_and_no_images(tmp_path):
    with pytest.raises(BadInput, match="nowhere is not there"):
        source_of(tmp_path / "nowhere")
    with pytest.raises(BadInput, match=r"holds no sub-\*_task-\*_desc-preproc_bold\.nii\.gz and no"):
        source_of(tmp_path).stories()


def test_two_images_of_a_run(bids_folder):
    shutil.copy(bids_folder / IMAGE, bids_folder / f"{FUNC}_space-MNI_res-2_desc-preproc_bold.nii.gz")
    with pytest.raises(BadInput, match=r"should hold one image of a run in a space.*res-2.*dataset\.bids\.exclude"):
        source_of(bids_folder).stories()
    assert source_of(bids_folder, exclude=["*_res-2_*"]).has("sub-01", "cake")


def test_a_cut_image(bids_folder):
    path = bids_folder / IMAGE
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(BadInput, match=r"sub-01_task-cake_.*can't be read to the end .*cut off"):
        read(source_of(bids_folder))
    path.write_bytes(gzip.compress(b"no image"))
    with pytest.raises(BadInput, match=r"sub-01_task-cake_.*can't be read as an image"):
        read(source_of(bids_folder))


def test_masks_that_are_missing_empty_or_of_another_grid(bids_folder):
    path = bids_folder / f"{FUNC}_space-MNI_desc-brain_mask.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((6, 6, 6), np.uint8), np.diag([3.0, 3.0, 3.0, 1.0])), path)
    with pytest.raises(BadInput, match="no voxel is in the masks of all 7 runs"):
        read(source_of(bids_folder))
    nib.save(nib.Nifti1Image(np.ones((6, 6, 7), np.uint8), np.diag([3.0, 3.0, 3.0, 1.0])), path)
    with pytest.raises(BadInput, match="masks of 6 more runs can't be joined"):
        read(source_of(bids_folder))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(BadInput, match=r"brain_mask\.nii\.gz can't be read as an image"):
        read(source_of(bids_folder))
    path.unlink()
    with pytest.raises(BadInput, match=r"brain_mask\.nii\.gz does not exist; .* dataset\.bids\.mask"):
        read(source_of(bids_folder))
    nib.save(nib.Nifti1Image(np.ones((6, 6, 6), np.uint8), np.diag([2.0, 2.0, 2.0, 1.0])), bids_folder / "roi.nii")
    with pytest.raises(BadInput, match="must be of one grid and position"):
        read(source_of(bids_folder, mask="roi.nii"))


def test_wrong_confounds(bids_folder):
    with pytest.raises(BadInput, match=r"timeseries\.tsv lacks the columns: rot_q; there are: trans_x, csf"):
        read(source_of(bids_folder, confounds=["rot_q"]))
    path = bids_folder / f"{FUNC}_desc-confounds_timeseries.tsv"
    path.write_text("\n".join(path.read_text().splitlines()[:20]))
    with pytest.raises(BadInput, match=r"timeseries\.tsv has 19 rows, the run 30 volumes"):
        read(source_of(bids_folder, confounds=["csf"]))
    path.unlink()
    with pytest.raises(BadInput, match=r"holds no desc-confounds_timeseries\.tsv for sub-01_task-cake"):
        read(source_of(bids_folder, confounds=["csf"]))


def test_runs_of_different_tr(bids_folder):
    (bids_folder / f"{FUNC}_space-MNI_desc-preproc_bold.json").write_text(json.dumps({"RepetitionTime": 1.0}))
    with pytest.raises(BadInput, match="sub-02_task-cake_.* and sub-01_task-cake_.* differ in TR"):
        source_of(bids_folder).timing("cake")


def test_a_run_without_a_tr(bids_folder, tmp_path):
    for hemi in "LR":
        image = nib.GiftiImage(darrays=[nib.gifti.GiftiDataArray(np.zeros(5, np.float32)) for _ in range(3)])
        nib.save(image, bids_folder / f"{FUNC}_hemi-{hemi}_space-fsnative_bold.func.gii")
    source = source_of(bids_folder, space="fsnative")
    with pytest.raises(BadInput, match=r"func\.gii: no RepetitionTime in its \.json nor in the raw run's"):
        source.timing("cake")
    nib.save(image, bids_folder / f"{FUNC}_hemi-L_space-fsaverage5_bold.func.gii")
    nib.save(image, bids_folder / f"{FUNC}_hemi-R_space-fsaverage5_bold.func.gii")
    (bids_folder / "task-cake_bold.json").write_text(json.dumps({"RepetitionTime": 2}))
    with pytest.raises(BadInput, match="holds 5 vertices, but fsaverage5 has 10242"):
        read(source_of(bids_folder, space="fsaverage5"))


def test_too_much_trimmed(bids_folder):
    with pytest.raises(BadInput, match=r"has 30 volumes, too few for dataset\.bids\.trim"):
        source_of(bids_folder, trim=(20, 9)).timing("cake")


def section(adapter, **more):
    return DatasetSettings(name="a", adapter=adapter, path="a", subjects=["a"], test_stories=["a"], **more)


def test_settings_of_other_adapters_hold_no_bids():
    with pytest.raises(BadParameter, match="dataset: section `bids` belongs to adapter `bids`, not `folder`"):
        adapter_settings(section("folder", bids={"story": "run"}))
    assert adapter_settings(section("folder", bids={"story": "task"})) is None


def test_wrong_settings_of_bids_are_named():
    with pytest.raises(ValueError, match="`trim` counts TRs to leave out"):
        BidsSettings(trim=(-1, 0))
    with pytest.raises(BadParameter, match=r"^params\.yaml: dataset\.bids: `trim` counts TRs to leave out, 0 or more$"):
        adapter_settings(section("bids", bids={"trim": [-1, 0]}))
    with pytest.raises(BadParameter, match=r"^params\.yaml: unknown parameter `dataset\.bids\.space_`; remove it"):
        adapter_settings(section("bids", bids={"space_": "MNI"}))
    with pytest.raises(BadParameter, match=r"^params\.yaml: dataset\.bids: Input should be a valid dictionary"):
        adapter_settings(section("bids", bids=None))
    assert adapter_settings(section("bids", bids={"trim": [2, 0]})) == BidsSettings(trim=(2, 0))
    assert adapter_settings(section("bids")) == BidsSettings()
