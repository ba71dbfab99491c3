"""The command on the planted world: what it prints and writes, and what it refuses."""

from __future__ import annotations

import json
import re
import shutil

import h5py
import numpy as np
import pandas as pd
import pytest

from qaemb.encoding.jackknife import confidence, paired_difference
from qaemb.encoding.results import read_jackknife
from qaemb.errors import BadInput, BadParameter
from qaemb.stages.compare import compare
from qaemb.stages.encode import encode
from qaemb.workspace import Workspace

SPACES = {"qa": ["qa"], "junk": ["junk"], "both": ["qa", "junk"]}


@pytest.fixture(scope="module")
def settings(world):
    return world.settings(spaces=SPACES, voxel_block=16)


@pytest.fixture(scope="module")
def encoded(world, settings) -> Workspace:
    for name in SPACES:
        encode(settings, world.workspace, name)
    return world.workspace


@pytest.fixture
def copied(encoded, tmp_path) -> Workspace:
    """Return a copy of what was encoded, to be spoilt."""
    workspace = Workspace(tmp_path)
    for part in ("dataset", "encoding"):
        shutil.copytree(encoded.work / part, workspace.work / part)
    return workspace


def test_the_better_model_is_found_in_the_voxels_with_signal(encoded, world, settings, capsys):
    compare(settings, encoded, "qa", "junk")
    table = pd.read_csv(encoded.reports / "compare" / "qa_vs_junk.csv")
    assert list(table.columns) == ["subject", "voxel", "r_a", "r_b", "difference", "low", "high", "p", "q"]
    lines = capsys.readouterr().out.splitlines()
    signal = set(range(20)) - {world.nan_voxel, world.flat_voxel}
    for subject, line in zip(("S1", "S2"), lines[1:3], strict=True):
        own = table[table["subject"] == subject]
        assert set(own["voxel"]) == signal | set(range(20, 30))
        better = set(own.loc[(own["q"] < 0.05) & (own["difference"] > 0), "voxel"])
        assert len(better & signal) >= 16
        assert len(better - signal) <= 2
        worse = ((own["q"] < 0.05) & (own["difference"] < 0)).sum()
        assert f"qa better in {len(better)}, junk in {worse} of 28 voxels" in line
        numbers = [float(number) for number in re.findall(r"[+-]\d\.\d{4}", line)]
        qa, junk = (read_jackknife(encoded.encoding(name), subject) for name in ("qa", "junk"))
        found = confidence(paired_difference(qa, junk))
        assert numbers == pytest.approx([float(qa.value - junk.value), found.low, found.high], abs=1e-4)


def test_differences_of_voxels_are_those_of_the_scores(encoded, settings):
    compare(settings, encoded, "both", "qa")
    table = pd.read_csv(encoded.reports / "compare" / "both_vs_qa.csv")
    scores = [
        pd.read_parquet(encoded.encoding(name) / "scores.parquet").dropna(subset=["r"]) for name in ("both", "qa")
    ]
    for column, own in zip(("r_a", "r_b"), scores, strict=True):
        np.testing.assert_allclose(table[column], own["r"], atol=1e-6)
    np.testing.assert_allclose(table["difference"], table["r_a"] - table["r_b"], atol=1e-12)


def test_two_subjects_claim_nothing_of_others(encoded, settings, capsys):
    compare(settings, encoded, "qa", "junk")
    said = capsys.readouterr().out
    assert "2 subjects: mean difference +0." in said
    assert "qa above junk in 2; sign-flip p 0.25, the smallest that 2 subjects can give is 0.25." in said
    assert "Can't be said: that qa is above junk in the population of subjects" in said


def test_a_model_is_not_compared_with_itself_or_with_one_that_was_not_encoded(encoded, settings):
    with pytest.raises(BadParameter, match="`qa` can't be compared with itself"):
        compare(settings, encoded, "qa", "qa")
    with pytest.raises(BadInput, match=r"encoding/gold/model.json does not exist; run `dvc repro`"):
        compare(settings, encoded, "qa", "gold")
    assert not (encoded.reports / "compare" / "qa_vs_gold.csv").exists()


def test_scores_of_other_responses_are_refused(copied, settings):
    with h5py.File(copied.dataset / "responses" / "S1.h5", "a") as file:
        file["data/y"][:, 0] = file["data/y"][:][::-1, 0]
    with pytest.raises(BadInput, match=r"predictions of S1 don't give the r of scores.parquet.*dvc repro encode@qa`"):
        compare(settings, copied, "qa", "junk")
    assert not (copied.reports / "compare").exists()


def test_responses_of_other_rows_are_refused(copied, settings):
    with h5py.File(copied.dataset / "responses" / "S1.h5", "a") as file:
        values = file["data/y"][:-1]
        del file["data/y"]
        file["data/y"] = values
    with pytest.raises(BadInput, match=r"S1.h5 has other rows or voxels than"):
        compare(settings, copied, "qa", "junk")


def test_models_of_other_rows_are_refused(copied, settings):
    path = copied.encoding("junk") / "model.json"
    model = json.loads(path.read_text())
    model["test_rows"]["S1"]["x"] = 79
    path.write_text(json.dumps(model))
    with pytest.raises(BadInput, match="S1: .*qa and .*junk were scored on other test rows or voxels"):
        compare(settings, copied, "qa", "junk")
    del model["test_rows"]
    path.write_text(json.dumps(model))
    with pytest.raises(BadInput, match=r"has no `test_rows`; run `dvc repro encode@junk`"):
        compare(settings, copied, "qa", "junk")


def test_the_blocks_are_those_that_the_models_were_fitted_with(copied, settings, world, capsys):
    compare(settings, copied, "qa", "junk")
    expected = capsys.readouterr().out, (copied.reports / "compare" / "qa_vs_junk.csv").read_bytes()
    other = world.settings(spaces=SPACES, block_trs=40)
    compare(other, copied, "qa", "junk")
    assert (capsys.readouterr().out, (copied.reports / "compare" / "qa_vs_junk.csv").read_bytes()) == expected


def test_models_fitted_with_other_blocks_are_refused(copied, settings):
    path = copied.encoding("junk") / "model.json"
    model = json.loads(path.read_text())
    path.write_text(json.dumps(model | {"block_trs": 40}))
    with pytest.raises(BadInput, match=r"qa was fitted with encode\.block_trs 15, .*junk with 40, .* can't be paired"):
        compare(settings, copied, "qa", "junk")
    del model["block_trs"]
    path.write_text(json.dumps(model))
    with pytest.raises(BadInput, match=r"has no `block_trs`; run `dvc repro encode@junk`"):
        compare(settings, copied, "qa", "junk")


def test_models_of_the_protocol_paper_are_refused(copied, world):
    own = {"spaces": SPACES, "protocol": "paper", "n_chunks": 2, "chunk_trs": 20, "n_components": 5}
    settings = world.settings(**own)
    encode(settings, copied_features(world, copied), "junk")
    with pytest.raises(BadInput, match=r"junk was fitted under protocol `paper`.*encode@junk"):
        compare(settings, copied, "qa", "junk")


def copied_features(world, workspace: Workspace) -> Workspace:
    shutil.copytree(world.workspace.features("junk"), workspace.features("junk"))
    return workspace


def test_only_subjects_of_both_are_compared(copied, settings, capsys):
    path = copied.encoding("junk") / "model.json"
    model = json.loads(path.read_text())
    del model["test_rows"]["S2"]
    path.write_text(json.dumps(model))
    compare(settings, copied, "qa", "junk")
    assert "1 subject: this says something about this subject and nothing about others." in capsys.readouterr().out
    assert set(pd.read_csv(copied.reports / "compare" / "qa_vs_junk.csv")["subject"]) == {"S1"}
