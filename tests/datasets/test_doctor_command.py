"""The doctor on lebel_pcs, and what is common to all folders: the adapter, the command, the progress."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qaemb.datasets import doctor
from qaemb.datasets.doctor import Check, examine
from qaemb.datasets.registry import detect_adapter
from qaemb.errors import BadInput, BadParameter
from qaemb.stages.check import check_dataset


@pytest.fixture
def lebel(tmp_path):
    folder = tmp_path / "lebel"
    folder.mkdir()
    texts = {story: {"split": "train", "texts": ["we went home"] * 30} for story in ("one", "two")}
    (folder / "texts.json").write_text(json.dumps(texts))
    rng = np.random.default_rng(0)
    for subject in ("uts01", "uts03"):
        np.savez(folder / f"{subject}.npz", **{story: rng.normal(size=(30, 4)) for story in texts})
    labels = {story: rng.random((30, 2)) < 0.5 for story in texts}
    np.savez(folder / "gpt4_labels.npz", questions=np.array(["Is it late?", "Is it home?"]), **labels)
    return folder


def test_lebel_pcs(lebel, report):
    fine, lines = report(lebel)
    assert fine
    assert lines[-1].endswith("(lebel_pcs): 8 checks, 0 errors, 0 warnings, 8 OK")
    (lebel / "uts01.npz").write_bytes(b"PK")
    np.savez(lebel / "uts03.npz", one=np.zeros((29, 4)))
    fine, lines = report(lebel, only_problems=True)
    assert not fine
    assert lines[0].startswith("ERROR    uts01: uts01.npz can't be read as npz")
    assert "WARNING  uts03: lacks 1 of 2 stories: two" in lines
    assert any(line.startswith("ERROR    uts03, one: uts03.npz: one has 29 rows, expected 30") for line in lines)


def test_what_an_adapter_cannot_open_is_one_error(lebel, report):
    (lebel / "texts.json").write_text("[]")
    fine, lines = report(lebel)
    assert not fine
    assert lines[0] == "ERROR    .: texts.json should hold {story: {split, texts}}"


def test_adapters_are_told_from_the_folder(own_copy, own_folder, bids_folder, lebel, tmp_path):
    (own_copy / "sub-UTS01").mkdir()  # ds003020 is a BIDS folder, too
    folders = [own_copy, own_folder, bids_folder, lebel]
    assert [detect_adapter(folder) for folder in folders] == ["ds003020", "folder", "bids", "lebel_pcs"]
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(BadInput, match=r"is of no known kind \(ds003020: derivative/; .*; name one with --adapter"):
        detect_adapter(empty)
    with pytest.raises(BadInput, match="nowhere is not a folder"):
        detect_adapter(tmp_path / "nowhere")
    with pytest.raises(BadParameter, match="no adapter `nifti`; there are: auto, ds003020, folder, lebel_pcs, bids"):
        check_dataset(empty, adapter="nifti")


def test_the_command_exits_with_one_on_errors(own_folder):
    command = [sys.executable, "-c", "from qaemb.cli import main; main()", "dataset", "check", str(own_folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=own_folder, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("0 errors, 0 warnings, 21 OK\n")
    (own_folder / "words/cake.csv").unlink()
    done = subprocess.run([*command, "--problems"], capture_output=True, text=True, cwd=own_folder, check=False)
    assert done.returncode == 1
    assert done.stdout.splitlines()[0].startswith("ERROR    words/cake.csv: is missing")
    done = subprocess.run(
        [*command[:-2], "check", "nowhere"], capture_output=True, text=True, cwd=own_folder, check=False
    )
    assert (done.returncode, done.stderr) == (1, "qaemb: nowhere is not a folder\n")


@pytest.mark.parametrize(("after_s", "shown"), [(-1.0, True), (1000.0, False)])
def test_progress_shows_once_it_has_taken_a_while(tmp_path, capsys, monkeypatch, after_s, shown):
    monkeypatch.setattr(doctor, "_PROGRESS_AFTER_S", after_s)
    assert len(list(examine(tmp_path, [Check(str(n), lambda: [("OK", "")]) for n in range(3)]))) == 3
    assert ("check: " in capsys.readouterr().err) == shown


def test_without_a_word_the_command_is_the_stage(tmp_path):
    (tmp_path / "params.yaml").write_text((Path(__file__).parents[2] / "params.yaml").read_text())
    command = [sys.executable, "-c", "from qaemb.cli import main; main()", "dataset"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert "holds no folder `derivative`; set dataset.path" in done.stderr
