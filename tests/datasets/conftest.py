"""Small annotated stories, a data set generated from them, and settings that name only what these stages read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import yaml
from praatio import textgrid

from qaemb.datasets.miniature.generate import generate
from qaemb.settings import DatasetSettings, MiniatureSettings, Settings
from qaemb.stages.check import check_dataset

PROPERTIES = Path(__file__).parents[2] / "data" / "miniature" / "properties.yaml"
STORIES = ("weddingcake", "mountainfog", "alpha", "beta", "gamma")
SMALL = MiniatureSettings(n_subjects=3, n_voxels=120, n_repeats=[3, 2, 2])
_VOCABULARY = ["the", "a", "boat", "river", "don't", "never", "mother", "slowly", "remembered", "yellow", "Anna's"]


def write_stories(folder: Path, n_sentences: int = 18) -> None:
    """Write properties.yaml and five stories of random words with random annotations, always the same."""
    rng = np.random.default_rng(0)
    (folder / "stories").mkdir(parents=True)
    shutil.copy(PROPERTIES, folder / "properties.yaml")
    ids = [entry["id"] for entry in yaml.safe_load(PROPERTIES.read_text())]
    for story in STORIES:
        lines = [f"# The {story}", ""]
        for number in range(n_sentences):
            words = rng.choice(_VOCABULARY, 10)
            true = " ".join(name for name in ids if rng.random() < 0.3) or "-"
            lines.append(f"{' '.join(words[:4]).capitalize()}, {' '.join(words[4:])}. || {true}")
            lines += [""] if number % 6 == 5 else []
        (folder / "stories" / f"{story}.txt").write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="session")
def story_source(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("source") / "miniature"
    write_stories(folder)
    return folder


@pytest.fixture(scope="session")
def generated(tmp_path_factory, story_source) -> Path:
    """A generated data set that no test changes."""
    folder = tmp_path_factory.mktemp("generated")
    generate(story_source, folder, SMALL)
    return folder


@pytest.fixture
def own_copy(tmp_path, generated) -> Path:
    """A generated data set to break."""
    return Path(shutil.copytree(generated, tmp_path / "source"))


@pytest.fixture
def settings_for() -> Callable[..., Settings]:
    def make(path: Path, **changes) -> Settings:
        values = {
            "name": "small",
            "adapter": "ds003020",
            "path": path,
            "subjects": ["UTS01", "UTS02", "UTS03"],
            "test_stories": ["weddingcake", "mountainfog"],
        }
        return Settings.model_construct(dataset=DatasetSettings(**(values | changes)), miniature=SMALL)

    return make


@pytest.fixture
def small() -> MiniatureSettings:
    return SMALL


@pytest.fixture
def new_source(tmp_path) -> Callable[..., Path]:
    """Stories of one's own to change."""

    def make(n_sentences: int = 18) -> Path:
        folder = tmp_path / "data" / "miniature"
        write_stories(folder, n_sentences)
        return folder

    return make


OWN_STORIES = ("cake", "dog", "fire", "lake", "moon", "snow")
OWN_SUBJECTS = ("anna", "ben")
OWN_ROWS, OWN_VOXELS = 30, 8


def own_words(story: str) -> pd.DataFrame:
    """Return a word every half second for a minute, each a third of a second long."""
    labels = np.random.default_rng(len(story) + ord(story[0])).choice(_VOCABULARY, 2 * OWN_ROWS * 2)
    onset = np.arange(len(labels)) * 0.5
    return pd.DataFrame({"word": labels, "onset_s": onset, "offset_s": (onset + 0.3).round(3)})


def own_responses(subject: str, story: str, n_repeats: int = 1) -> np.ndarray:
    """Return z-scored runs (repeats, rows, voxels)."""
    rng = np.random.default_rng([ord(subject[0]), ord(story[0])])
    runs = rng.normal(size=(1, OWN_ROWS, OWN_VOXELS)) + 0.3 * rng.normal(size=(n_repeats, OWN_ROWS, OWN_VOXELS))
    return (runs - runs.mean(axis=1, keepdims=True)) / runs.std(axis=1, keepdims=True)


@pytest.fixture
def own_folder(tmp_path) -> Path:
    """Six tiny stories of two subjects as adapter `folder` reads them; `snow` has repeats, `dog` a TextGrid."""
    folder = tmp_path / "mine"
    for name in ("words", "responses/anna", "responses/ben", "repeats/anna"):
        (folder / name).mkdir(parents=True)
    splits = ["test" if story == "snow" else "train" for story in OWN_STORIES]
    pd.DataFrame({"story": OWN_STORIES, "split": splits, "tr_s": 2.0}).to_csv(folder / "stories.csv", index=False)
    for story in OWN_STORIES:
        own_words(story).to_csv(folder / "words" / f"{story}.csv", index=False)
        for subject in OWN_SUBJECTS:
            np.save(folder / "responses" / subject / f"{story}.npy", own_responses(subject, story)[0])
    (folder / "words" / "dog.csv").unlink()
    _write_grid(folder / "words" / "dog.TextGrid", own_words("dog"))
    runs = own_responses("anna", "snow", 3)
    np.save(folder / "repeats" / "anna" / "snow.npy", runs)
    np.save(folder / "responses" / "anna" / "snow.npy", runs.mean(axis=0))
    return folder


def _write_grid(path: Path, words: pd.DataFrame) -> None:
    entries = list(words[["onset_s", "offset_s", "word"]].itertuples(index=False, name=None))
    grid = textgrid.Textgrid()
    for name in ("phone", "word"):
        grid.addTier(textgrid.IntervalTier(name, entries, 0, 2 * OWN_ROWS))
    grid.save(str(path), format="long_textgrid", includeBlankSpaces=True)


BIDS_STORIES = ("cake", "dog", "fire", "lake", "moon", "snow")
BIDS_SUBJECTS = ("01", "02")
GRID, VOLUMES = (6, 6, 6), 30


def bids_mask(subject: str) -> np.ndarray:
    """Return a brain of about half of the grid, another for each subject."""
    return np.random.default_rng(int(subject)).random(GRID) < 0.5


def bids_scan(subject: str, story: str, run: int = 1, volumes: int = VOLUMES) -> np.ndarray:
    """Return a scan (x, y, z, volumes): noise around 1000 with a slow drift."""
    rng = np.random.default_rng([int(subject), ord(story[0]), run])
    drift = 40 * rng.random((*GRID, 1)) * np.linspace(-1, 1, volumes)
    return (1000 + drift + 10 * rng.normal(size=(*GRID, volumes))).astype(np.float32)


def write_run(folder: Path, name: str, scan: np.ndarray, mask: np.ndarray) -> Path:
    """Write a run as fMRIPrep does: image with its JSON, mask, confounds; `name` begins as in `sub-01_task-cake`."""
    func = folder / "derivatives" / "fmriprep" / name[:6] / "func"
    func.mkdir(parents=True, exist_ok=True)
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    image = nib.Nifti1Image(scan, affine)
    image.header.set_zooms((3.0, 3.0, 3.0, 2.0))
    image.header.set_xyzt_units("mm", "sec")
    path = func / f"{name}_space-MNI_desc-preproc_bold.nii.gz"
    nib.save(image, path)
    nib.save(nib.Nifti1Image(mask.astype(np.uint8), affine), func / f"{name}_space-MNI_desc-brain_mask.nii.gz")
    sidecar = {"RepetitionTime": 2.0, "StartTime": 0.9}
    (func / f"{name}_space-MNI_desc-preproc_bold.json").write_text(json.dumps(sidecar))
    rng = np.random.default_rng(scan.shape[3])
    confounds = pd.DataFrame(rng.normal(size=(scan.shape[3], 2)).round(6), columns=["trans_x", "csf"]).astype(str)
    confounds.insert(2, "trans_x_derivative1", ["n/a", *map(str, rng.normal(size=len(confounds) - 1).round(6))])
    confounds.to_csv(func / f"{name}_desc-confounds_timeseries.tsv", sep="\t", index=False)
    return path


@pytest.fixture
def bids_folder(tmp_path) -> Path:
    """Six tasks of two subjects, 01 heard `snow` twice; events stand at the top, for all subjects."""
    folder = tmp_path / "bids"
    folder.mkdir()
    for story in BIDS_STORIES:
        own = own_words(story)
        events = pd.DataFrame({"onset": own["onset_s"], "duration": 0.3, "trial_type": "word", "word": own["word"]})
        events.loc[len(events)] = [60.0, 1.0, "button", "n/a"]
        events.to_csv(folder / f"task-{story}_events.tsv", sep="\t", index=False)
        for subject in BIDS_SUBJECTS:
            runs = 2 if (subject, story) == ("01", "snow") else 1
            for run in range(1, runs + 1):
                name = f"sub-{subject}_task-{story}" + (f"_run-{run}" if runs > 1 else "")
                write_run(folder, name, bids_scan(subject, story, run), bids_mask(subject))
    return folder


@pytest.fixture
def report(capsys) -> Callable[..., tuple[bool, list[str]]]:
    """Look at a folder as `qaemb dataset check` does: whether it has no errors, and the lines that were printed."""

    def look(folder: Path, **options) -> tuple[bool, list[str]]:
        fine = check_dataset(folder, **options)
        return fine, capsys.readouterr().out.splitlines()

    return look


@pytest.fixture(name="write_run")
def _write_run() -> Callable[..., Path]:
    return write_run


@pytest.fixture(name="bids_scan")
def _bids_scan() -> Callable[..., np.ndarray]:
    return bids_scan


@pytest.fixture(name="bids_mask")
def _bids_mask() -> Callable[..., np.ndarray]:
    return bids_mask
