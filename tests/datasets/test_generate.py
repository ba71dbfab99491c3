import json

import h5py
import numpy as np
import pandas as pd
import pytest

from qaemb.datasets.ds003020 import _Ds003020
from qaemb.datasets.miniature.generate import _planted_signals, generate
from qaemb.datasets.miniature.planting import REGIONS, grow_cortex, property_time_courses
from qaemb.datasets.miniature.stories import read_properties, read_stories
from qaemb.errors import BadInput, BadParameter
from qaemb.identity import _folder_sha256
from qaemb.settings import Settings
from qaemb.stages.inputs import miniature
from qaemb.workspace import Workspace

TEST = ["mountainfog", "weddingcake"]


def read_hf5(root, subject, story, key="data"):
    with h5py.File(root / "derivative" / "preprocessed_data" / subject / f"{story}.hf5") as file:
        return file[key][:]


def test_the_layout_of_ds003020(generated):
    folder = generated / "derivative"
    scans = json.loads((folder / "respdict.json").read_text())
    assert json.loads((folder / "subject_xfms.json").read_text())["UTS03"] == "UTS03_auto"
    assert {path.stem for path in (folder / "TextGrids").iterdir()} == set(scans)
    for path in folder.glob("preprocessed_data/*/*.hf5"):
        with h5py.File(path) as file:
            data = file["data"]
            assert (data.dtype, data.chunks, data.compression) == (np.float64, None, None)
            assert data.shape == (scans[path.stem] - 20, 120)
            assert ("individual_repeats" in file) == (path.stem in TEST)


def test_the_run_lasts_as_long_as_the_sound(generated):
    for story, scans in json.loads((generated / "derivative" / "respdict.json").read_text()).items():
        lines = (generated / "derivative" / "TextGrids" / f"{story}.TextGrid").read_text().splitlines()
        duration = float(lines[4].split("=")[1])
        assert scans == np.ceil(duration / 2) + 10


def test_data_of_a_test_story_is_the_mean_of_its_repeats(generated):
    for subject, n in (("UTS01", 3), ("UTS02", 2), ("UTS03", 2)):
        repeats = read_hf5(generated, subject, "weddingcake", "individual_repeats")
        assert len(repeats) == n
        np.testing.assert_allclose(read_hf5(generated, subject, "weddingcake"), repeats.mean(axis=0), atol=1e-12)
        assert not np.array_equal(repeats[0], repeats[1])


def test_every_run_is_zscored(generated):
    runs = [read_hf5(generated, "UTS01", "alpha"), *read_hf5(generated, "UTS01", "weddingcake", "individual_repeats")]
    for run in runs:
        np.testing.assert_allclose(run.mean(axis=0), 0, atol=1e-5)
        np.testing.assert_allclose(run.std(axis=0), 1, atol=1e-5)


def test_one_subject_lacks_a_train_story_and_one_has_nan_voxels(generated):
    source = _Ds003020(generated)
    lacking = [(u, s) for u in source.subjects() for s in source.stories() if not source.has(u, s)]
    assert lacking == [("UTS02", "gamma")]
    for subject in source.subjects():
        nan = {s: np.isnan(read_hf5(generated, subject, s)) for s in source.stories() if source.has(subject, s)}
        voxels = {s: set(np.flatnonzero(mask.any(axis=0))) for s, mask in nan.items() if mask.any()}
        assert all((mask.all(axis=0) == mask.any(axis=0)).all() for mask in nan.values())
        assert (0 < len(voxels) < 5) == (subject == "UTS03")
        assert all(len(own) == 5 for own in voxels.values())


def test_gold_is_what_the_authors_wrote(generated, story_source):
    properties = read_properties(story_source / "properties.yaml")["property"].tolist()
    source = _Ds003020(generated)
    for story in read_stories(story_source / "stories", properties):
        gold, sentences, words = source.gold(story.name), source.sentences(story.name), source.words(story.name)
        assert words["word"].tolist() == story.words
        for i, sentence in enumerate(story.sentences):
            assert {name for name in properties if gold[name][i]} == sentence.properties
            row = sentences.iloc[i]
            assert (row["text"], row["index"]) == (sentence.text, i)
            assert words["word"][row["first_word"] : row["last_word"] + 1].tolist() == sentence.words


def test_planted_signal_has_the_stated_ratio_to_the_noise():
    rng = np.random.default_rng(0)
    properties = [name for region in REGIONS for name in region.weights]
    cortex = grow_cortex(400, sorted(set(properties)), rng)
    courses = [rng.normal(size=(rows, len(set(properties)))) for rows in (60, 90)]
    signals = _planted_signals(cortex, courses, 0.5)
    ratio = sum((run**2).sum(axis=0) for run in signals) / 150
    has_signal = cortex.gain > 0
    assert ratio[has_signal].mean() == pytest.approx(0.5)
    assert ratio[has_signal].std() / 0.5 < 0.6
    np.testing.assert_allclose(ratio, 0.5 * cortex.gain)


def test_responses_in_the_files_have_the_stated_ratio(generated, story_source):
    """Oracle: the squared correlation of responses and planted signal is snr / (1 + snr); the signal is rebuilt here
    from the files alone, up to its scale: gold answers, words and voxel table."""
    source = _Ds003020(generated)
    properties = source.gold_properties()["property"].tolist()
    voxels = source.voxels("UTS01")
    by_region = {region.name: region.weights for region in REGIONS}
    explained = []
    for story in source.stories():
        words, sentences = source.words(story), source.sentences(story)
        n_words = sentences["last_word"] - sentences["first_word"] + 1
        gold = np.repeat(source.gold(story)[properties].to_numpy(float), n_words, axis=0)
        middle = ((words["onset_s"] + words["offset_s"]) / 2).to_numpy()
        courses = property_time_courses(middle, gold, source.timing(story).n_trs + 20)
        runs = [read_hf5(generated, "UTS01", story)]
        if story in TEST:
            runs = list(read_hf5(generated, "UTS01", story, "individual_repeats"))
        for region in ("auditory_left", "auditory_right", "control_left", "control_right"):
            own = courses[:, [properties.index(name) for name in by_region[region]]]
            own = np.column_stack([own, np.ones(len(own))])
            for run in runs:
                data = run[:, (voxels["region"] == region).to_numpy()]
                residual = data - own @ np.linalg.lstsq(own, data, rcond=None)[0]
                share = 1 - (residual**2).mean(axis=0)
                chance = (own.shape[1] - 1) / (len(data) - 1)
                explained.append((region[:7], ((share - chance) / (1 - chance)).mean()))
    by_kind = pd.DataFrame(explained, columns=["kind", "share"]).groupby("kind")["share"].mean()
    assert by_kind["control"] == pytest.approx(0, abs=0.02)
    assert by_kind["auditor"] == pytest.approx(0.5 / 1.5, abs=0.12)


def test_the_same_seed_gives_the_same_bytes(generated, story_source, tmp_path, small):
    generate(story_source, tmp_path / "again", small)
    assert _folder_sha256(tmp_path / "again") == _folder_sha256(generated)


def test_another_seed_gives_other_speech_and_responses(generated, story_source, tmp_path, small):
    generate(story_source, tmp_path, small.model_copy(update={"seed": 2}))
    name = "derivative/TextGrids/alpha.TextGrid"
    assert (tmp_path / name).read_text() != (generated / name).read_text()
    assert not np.allclose(read_hf5(tmp_path, "UTS01", "alpha")[:5], read_hf5(generated, "UTS01", "alpha")[:5])


def test_another_story_moves_no_word_of_the_others(generated, new_source, tmp_path, small):
    folder = new_source()
    (folder / "stories" / "delta.txt").write_text((folder / "stories" / "alpha.txt").read_text())
    rows = generate(folder, tmp_path / "out", small)
    assert sorted(rows) == ["alpha", "beta", "delta", "gamma", *TEST]
    name = "derivative/TextGrids/alpha.TextGrid"
    assert (tmp_path / "out" / name).read_text() == (generated / name).read_text()


def test_too_few_repeats(story_source, tmp_path, small):
    with pytest.raises(BadParameter, match=r"miniature\.n_repeats has 2 values for 3 subjects"):
        generate(story_source, tmp_path, small.model_copy(update={"n_repeats": [2, 2]}))
    with pytest.raises(BadParameter, match="at least 2 repeats"):
        generate(story_source, tmp_path, small.model_copy(update={"n_repeats": [2, 1, 2]}))


def test_a_test_story_is_missing(new_source, tmp_path, small):
    folder = new_source()
    (folder / "stories" / "weddingcake.txt").unlink()
    with pytest.raises(BadInput, match="mountainfog, weddingcake and at least two other stories are needed"):
        generate(folder, tmp_path / "out", small)


def test_a_story_that_is_too_short(new_source, tmp_path, small):
    with pytest.raises(BadInput, match="story alpha has 60 words, too few"):
        generate(new_source(n_sentences=6), tmp_path / "out", small)


def test_stage(new_source, tmp_path, small, capsys):
    folder = new_source()
    settings, workspace = Settings.model_construct(miniature=small), Workspace(tmp_path)
    miniature(settings, workspace)
    assert capsys.readouterr().out.startswith("miniature: 5 stories, ")
    before = _folder_sha256(workspace.miniature)
    (folder / "stories" / "beta.txt").write_text("# Title\nNo separator.\n")
    with pytest.raises(BadInput, match=r"beta\.txt, line 2"):
        miniature(settings, workspace)
    assert _folder_sha256(workspace.miniature) == before
    assert [path.name for path in workspace.work.iterdir()] == ["miniature"]
