"""The adapter `bids` on a small generated folder; what it computes is compared with numpy and nilearn's masker."""

import json

import h5py
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nilearn.maskers import NiftiMasker

from qaemb.datasets.bids import BidsSettings, BidsSource
from qaemb.datasets.source import N_VERTICES
from qaemb.errors import BadInput
from qaemb.settings import DatasetSettings, SegmentationSettings, Settings
from qaemb.stages.inputs import dataset, segments
from qaemb.workspace import Workspace

STORIES = ["cake", "dog", "fire", "lake", "moon", "snow"]
FUNC = "derivatives/fmriprep/sub-{}/func"


def image_path(folder, subject, story, ending="space-MNI_desc-preproc_bold.nii.gz"):
    return folder / FUNC.format(subject) / f"sub-{subject}_task-{story}_{ending}"


def raw(folder, subject, story, name=None):
    path = image_path(folder, subject, name or story)
    mask = nib.load(image_path(folder, subject, story, "space-MNI_desc-brain_mask.nii.gz")).get_fdata() > 0
    return nib.load(path).get_fdata()[mask].T


def read(source, subject, story):
    with source.responses(subject, story) as responses:
        return responses.data


def expected(values, settings, confounds=None):
    """Return z-scored residuals of one least-squares fit of line, cosines and confounds, in plain numpy."""
    n = len(values)
    columns = [np.ones(n)]
    if settings.detrend:
        columns.append(np.arange(n))
    if settings.high_pass_hz is not None:
        order = int(np.floor(2 * n * settings.high_pass_hz * 2.0))
        columns += [np.cos(np.pi * k * (np.arange(n) + 0.5) / n) for k in range(1, order + 1)]
    if confounds is not None:
        columns += list(confounds.T)
    design = np.stack(columns, axis=1)
    left = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
    return left / left.std(axis=0, ddof=1) if settings.standardize else left


def test_what_is_there(bids_folder):
    source = BidsSource(bids_folder, BidsSettings())
    assert source.stories() == STORIES
    assert source.subjects() == ["sub-01", "sub-02"]
    assert source.has("sub-01", "snow")
    assert vars(source.timing("cake")) == {"n_trs": 30, "tr_s": 2.0, "first_tr_s": 0.9}
    assert source.voxels("sub-01") is None


def test_stages_dataset_and_segments_run(bids_folder, tmp_path, capsys):
    subjects = ["sub-01", "sub-02"]
    section = DatasetSettings(
        name="mine", adapter="bids", path=bids_folder, subjects=subjects, test_stories=["snow"], bids={"trim": [2, 0]}
    )
    settings = Settings.model_construct(dataset=section, segments={"tr": SegmentationSettings(kind="tr")})
    workspace = Workspace(tmp_path)
    dataset(settings, workspace)
    assert "dataset mine: 5 train and 1 test stories, 720 words, 168 TRs, 2 subjects" in capsys.readouterr().out
    stories = pd.read_parquet(workspace.dataset / "stories.parquet")
    assert set(stories["first_tr_s"]) == {0.9 + 2 * 2.0}
    segments(settings, workspace, "tr")
    occurrences = pd.read_parquet(workspace.segments("tr") / "occurrences.parquet")
    assert occurrences["story"].tolist() == [story for story in STORIES for _ in range(28)]
    with h5py.File(workspace.dataset / "responses/sub-01.h5") as file:
        assert sorted(file["data"]) == STORIES
        runs = file["repeats/snow"][:]
        np.testing.assert_allclose(runs.mean(axis=0), file["data/snow"][:], atol=1e-6)
        own = expected(raw(bids_folder, "01", "cake")[2:], BidsSettings(trim=(2, 0)))
        np.testing.assert_allclose(file["data/cake"][:], own, atol=1e-4)


@pytest.mark.parametrize(
    "settings",
    [
        BidsSettings(),
        BidsSettings(detrend=False, high_pass_hz=None),
        BidsSettings(high_pass_hz=0.03, standardize=False),
        BidsSettings(high_pass_hz=0.02, confounds=["csf", "trans_x_derivative1"]),
    ],
)
def test_cleaning_against_numpy(bids_folder, settings):
    confounds = None
    if settings.confounds:
        path = image_path(bids_folder, "02", "fire", "desc-confounds_timeseries.tsv")
        table = pd.read_csv(path, sep="\t")  # pandas takes n/a for a missing value
        confounds = table[settings.confounds].fillna(0).to_numpy()
    own = expected(raw(bids_folder, "02", "fire"), settings, confounds)
    tolerance = 1e-4 if settings.standardize else 1e-2
    np.testing.assert_allclose(read(BidsSource(bids_folder, settings), "sub-02", "fire"), own, atol=tolerance)


def test_cleaning_against_nilearns_masker(bids_folder):
    path = image_path(bids_folder, "02", "moon")
    masker = NiftiMasker(
        mask_img=image_path(bids_folder, "02", "moon", "space-MNI_desc-brain_mask.nii.gz"),
        detrend=True,
        high_pass=0.02,
        t_r=2.0,
        standardize="zscore_sample",
        clean_args={"filter": "cosine"},
    )
    own = read(BidsSource(bids_folder, BidsSettings(high_pass_hz=0.02)), "sub-02", "moon")
    np.testing.assert_allclose(own, masker.fit_transform(path), atol=1e-4)


def test_runs_of_a_task_are_repeats(bids_folder):
    source = BidsSource(bids_folder, BidsSettings())
    with source.responses("sub-01", "snow") as responses:
        for run in (1, 2):
            values = raw(bids_folder, "01", "cake", f"snow_run-{run}")
            np.testing.assert_allclose(responses.repeats[run - 1], expected(values, BidsSettings()), atol=1e-4)
    with source.responses("sub-02", "snow") as responses:
        assert responses.repeats is None


def test_runs_as_stories(bids_folder):
    source = BidsSource(bids_folder, BidsSettings(story="run"))
    assert source.stories() == [*STORIES, "snow_run-1", "snow_run-2"]
    assert source.has("sub-02", "snow")
    assert not source.has("sub-01", "snow")


def test_voxels_are_those_of_all_runs_masks(bids_folder):
    path = image_path(bids_folder, "01", "moon", "space-MNI_desc-brain_mask.nii.gz")
    image = nib.load(path)
    mask = image.get_fdata() > 0
    mask[tuple(np.argwhere(mask)[3])] = False
    nib.save(nib.Nifti1Image(mask.astype(np.uint8), image.affine), path)
    own = expected(raw(bids_folder, "01", "cake"), BidsSettings())
    np.testing.assert_allclose(
        read(BidsSource(bids_folder, BidsSettings()), "sub-01", "cake"), np.delete(own, 3, axis=1), atol=1e-4
    )


def test_a_mask_for_all_runs(bids_folder):
    mask = np.zeros((6, 6, 6), np.uint8)
    mask[2, 3, 4] = mask[1, 1, 1] = 1
    nib.save(nib.Nifti1Image(mask, np.diag([3.0, 3.0, 3.0, 1.0])), bids_folder / "roi.nii.gz")
    own = read(BidsSource(bids_folder, BidsSettings(mask="roi.nii.gz")), "sub-01", "cake")
    scan = nib.load(image_path(bids_folder, "01", "cake")).get_fdata()
    np.testing.assert_allclose(own, expected(scan[[1, 2], [1, 3], [1, 4]].T, BidsSettings()), atol=1e-4)


def test_constant_and_infinite_voxels_have_no_data(bids_folder):
    path = image_path(bids_folder, "01", "cake")
    image = nib.load(path)
    scan = image.get_fdata().astype(np.float32)
    mask = np.argwhere(nib.load(image_path(bids_folder, "01", "cake", "space-MNI_desc-brain_mask.nii.gz")).get_fdata())
    scan[tuple(mask[0])] = 7
    scan[(*mask[1], 3)] = np.inf
    nib.save(nib.Nifti1Image(scan, image.affine, image.header), path)
    own = read(BidsSource(bids_folder, BidsSettings()), "sub-01", "cake")
    assert np.isnan(own[:, :2]).all()
    assert np.isfinite(own[:, 2:]).all()


def test_longer_runs_are_cut_to_the_shortest(bids_folder, write_run, bids_scan, bids_mask):
    write_run(bids_folder, "sub-02_task-cake", bids_scan("02", "cake", volumes=27), bids_mask("02"))
    source = BidsSource(bids_folder, BidsSettings())
    assert source.timing("cake").n_trs == 27
    own = expected(raw(bids_folder, "01", "cake")[:27], BidsSettings())
    np.testing.assert_allclose(read(source, "sub-01", "cake"), own, atol=1e-4)
    with pytest.raises(BadInput, match=r"sub-02_task-cake.* has 27 volumes, sub-01_task-cake.* 30; exclude one"):
        BidsSource(bids_folder, BidsSettings(length_tolerance=2)).timing("cake")
    left_out = BidsSettings(length_tolerance=2, exclude=["sub-02_task-cake_*"])
    assert BidsSource(bids_folder, left_out).timing("cake").n_trs == 30


def test_the_tr_comes_from_the_header_where_no_json_has_it(bids_folder):
    for subject in ("01", "02"):
        image_path(bids_folder, subject, "cake", "space-MNI_desc-preproc_bold.json").unlink()
    assert vars(BidsSource(bids_folder, BidsSettings()).timing("cake")) == {"n_trs": 30, "tr_s": 2.0, "first_tr_s": 1.0}
    (bids_folder / "task-cake_bold.json").write_text(json.dumps({"RepetitionTime": 1.5}))
    assert BidsSource(bids_folder, BidsSettings()).timing("cake").tr_s == 1.5


@pytest.fixture
def surfaces(bids_folder):
    """A run of sub-01 on fsaverage5, and its values (volumes, vertices of both hemispheres)."""
    sides = np.random.default_rng(5).normal(size=(2, 4, N_VERTICES)).astype(np.float32)
    sides[0, :, 7] = 0  # as at the medial wall
    for hemi, values in zip("LR", sides, strict=True):
        image = nib.GiftiImage(darrays=[nib.gifti.GiftiDataArray(row, "NIFTI_INTENT_TIME_SERIES") for row in values])
        nib.save(image, image_path(bids_folder, "01", "cake", f"hemi-{hemi}_space-fsaverage5_bold.func.gii"))
    sidecar = image_path(bids_folder, "01", "cake", "hemi-L_space-fsaverage5_bold.json")
    sidecar.write_text(json.dumps({"RepetitionTime": 1.5}))
    return np.concatenate(sides, axis=1)


def test_surfaces_know_their_vertices(bids_folder, surfaces):
    settings = BidsSettings(space="fsaverage5", high_pass_hz=None)
    source = BidsSource(bids_folder, settings)
    assert source.stories() == ["cake"]
    assert vars(source.timing("cake")) == {"n_trs": 4, "tr_s": 1.5, "first_tr_s": 0.75}
    own = read(source, "sub-01", "cake")
    wall = np.arange(2 * N_VERTICES) == 7
    np.testing.assert_allclose(own[:, ~wall], expected(surfaces[:, ~wall].astype(float), settings), atol=1e-3)
    assert np.isnan(own[:, 7]).all()
    voxels = source.voxels("sub-01")
    assert voxels.iloc[[0, N_VERTICES, 2 * N_VERTICES - 1]][["hemi", "vertex"]].values.tolist() == [
        ["left", 0],
        ["right", 0],
        ["right", N_VERTICES - 1],
    ]


def test_several_spaces_need_a_choice(bids_folder, surfaces):
    with pytest.raises(BadInput, match=r"in several spaces; set dataset\.bids\.space to one of: MNI, fsaverage5"):
        BidsSource(bids_folder, BidsSettings()).stories()
    with pytest.raises(BadInput, match=r"holds no images in space T1w; .*: MNI, fsaverage5"):
        BidsSource(bids_folder, BidsSettings(space="T1w")).stories()
    assert BidsSource(bids_folder, BidsSettings(space="MNI")).stories() == STORIES
    image_path(bids_folder, "01", "cake", "hemi-R_space-fsaverage5_bold.func.gii").unlink()
    with pytest.raises(BadInput, match=r"one of each hemisphere, but holds: sub-01_task-cake_hemi-L"):
        BidsSource(bids_folder, BidsSettings(space="fsaverage5")).stories()
