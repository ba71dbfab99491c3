"""The doctor on a BIDS folder."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

FUNC = "derivatives/fmriprep/sub-01/func/sub-01_task-cake"


def test_a_right_bids_folder(bids_folder, report):
    fine, lines = report(bids_folder)
    assert fine
    assert "OK       task-cake_events.tsv: 120 words from 0.0 to 59.8 s" in lines
    assert f"OK       {FUNC}_space-MNI_desc-preproc_bold.nii.gz: 30 volumes" in lines
    assert "OK       story snow: 30 rows of 2 s from 0.9 s, 3 runs" in lines
    assert any(
        line.startswith("OK       sub-01, snow: 30 x ") and line.endswith("float32, 2 repeats") for line in lines
    )
    assert lines[-1].endswith("(bids): 39 checks, 0 errors, 0 warnings, 39 OK")


def bids_link(folder):
    path = folder / f"{FUNC}_space-MNI_desc-preproc_bold.nii.gz"
    path.unlink()
    path.symlink_to("nowhere")


def bids_header(folder):
    path = folder / f"{FUNC}_space-MNI_desc-preproc_bold.nii.gz"
    image = nib.load(path)
    image = nib.Nifti1Image(image.get_fdata(dtype=np.float32), image.affine, image.header)
    image.header.set_zooms((3.0, 3.0, 3.0, 1.0))
    nib.save(image, path)


def bids_short(folder):
    path = folder / f"{FUNC}_space-MNI_desc-preproc_bold.nii.gz"
    image = nib.load(path)
    nib.save(nib.Nifti1Image(image.get_fdata(dtype=np.float32)[..., :-2], image.affine, image.header), path)


def bids_mask(folder):
    path = folder / f"{FUNC}_space-MNI_desc-brain_mask.nii.gz"
    image = nib.load(path)
    nib.save(nib.Nifti1Image(np.zeros((6, 6, 6), np.uint8), image.affine), path)


def bids_words(folder):
    path = folder / "task-cake_events.tsv"
    path.write_text(path.read_text().replace("\t0.3\t", "\t0.7\t"))


BIDS_FAULTS = [
    (bids_link, "WARNING  images: 1 were never fetched and count as missing: sub-01_task-cake_"),
    (bids_link, "WARNING  sub-01: lacks 1 of 6 stories: cake"),
    (bids_header, "bold.nii.gz: its header states a TR of 1 s, its .json 2 s, which is taken"),
    (
        bids_short,
        "WARNING  derivatives/fmriprep/sub-02/func/sub-02_task-cake_space-MNI_desc-preproc_bold.nii.gz: its last 2",
    ),
    (bids_mask, f"ERROR    {FUNC}_space-MNI_desc-preproc_bold.nii.gz: its mask is empty"),
    (bids_words, "WARNING  task-cake_events.tsv: row 3: `"),
    (lambda f: (f / "task-cake_events.tsv").unlink(), "ERROR    events: the folder holds no events for sub-0"),
    (lambda f: (f / "task-cake_events.tsv").write_text("onset\tduration\n"), "has no column `word` for the words"),
    (
        lambda f: (f / f"{FUNC}_space-MNI_desc-preproc_bold.nii.gz").write_bytes(b""),
        "bold.nii.gz: can't be read as an image",
    ),
    (
        lambda f: (f / f"{FUNC}_space-T1w_desc-preproc_bold.nii.gz").touch(),
        "ERROR    .: derivatives/fmriprep holds images in s",
    ),
]


@pytest.mark.parametrize(("damage", "line"), BIDS_FAULTS)
def test_faults_of_a_bids_folder(bids_folder, report, damage, line):
    damage(bids_folder)
    fine, lines = report(bids_folder, only_problems=True)
    assert any(line in printed for printed in lines), "\n".join(lines)
    assert fine == ("WARNING" in line or "its header" in line)


def test_the_settings_of_a_bids_folder_are_those_of_params_yaml(bids_folder, report, tmp_path, monkeypatch):
    (tmp_path / "params.yaml").write_text((Path(__file__).parents[2] / "params.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    assert report(bids_folder)[0]
    values = (tmp_path / "params.yaml").read_text()
    values = values.replace("adapter: ds003020", "adapter: bids\n  bids: {word_column: label}")
    (tmp_path / "params.yaml").write_text(values.replace("path: data/work/miniature", f"path: {bids_folder}"))
    fine, lines = report(bids_folder)
    assert not fine
    assert any("has no column `label` for the words" in line for line in lines)
