"""Training sets hold what their stories give, and nothing of the fold that is held out from them."""

from __future__ import annotations

import shutil

import h5py
import numpy as np
import pytest

from qaemb.encoding.recording import delayed, open_recordings
from qaemb.features.space import Space
from qaemb.selection.methods import METHODS, Training
from qaemb.selection.training import _training_products, story_folds, training_sets

METHODS_MADE = ["greedy", "stability", "elastic_net"]


def sets_of(world, folder=None, space=None, **select) -> tuple[list[Training], dict[str, int]]:
    settings = world.settings(**{"methods": METHODS_MADE, "n_resamples": 4, **select})
    folder = folder or world.workspace.dataset / "responses"
    space = space or world.space
    recordings = open_recordings(["S1", "S2"], space, world.stories, [1, 2], folder)
    fold_of = story_folds(recordings, settings.encode)
    return training_sets(recordings, space, fold_of, settings.select, settings.encode), fold_of


def test_all_stories_come_first_then_these_without_each_fold(world):
    sets, fold_of = sets_of(world)
    assert len(sets) == 4
    for i, own in enumerate(sets):
        stories = [story for story in ("a", "c", "d") if fold_of[story] != i - 1]
        members = np.array([[True] * len(stories)])
        (alone,) = _training_products(world.recordings(), members, stories, 0.9, 10)
        np.testing.assert_allclose(own.products.gram, alone.gram, atol=1e-12)
        np.testing.assert_allclose(own.products.cross @ own.products.cross.T, alone.cross @ alone.cross.T, atol=1e-12)
        assert own.ridge[0].features.n[list(own.ridge[0].parts)].sum() == sum(
            n for story, n in (("a", 70), ("b", 60), ("c", 80), ("d", 65)) if fold_of[story] != i - 1
        )


def test_halves_are_of_half_of_the_stories_of_the_set(world):
    sets, fold_of = sets_of(world)
    singles = {}
    for story in ("a", "c", "d"):
        (singles[story],) = _training_products(world.recordings(), np.array([[True]]), [story], 0.9, 10)
    for i, own in enumerate(sets):
        assert len(own.halves) == 4
        inside = [story for story in singles if fold_of[story] != i - 1]
        for half in own.halves:  # one story of two or three
            assert any(np.allclose(half.gram, singles[story].gram) for story in inside)


def test_greedys_sums_are_those_of_the_rows(world):
    sets, fold_of = sets_of(world)
    recording = world.recordings()[1]
    own = sets[2].ridge[1]
    assert own.parts == (0, 2)
    for fold in own.parts:
        stories = [story for story in recording.train if fold_of[story] == fold]
        x = np.vstack([delayed(recording.train[story], [1, 2]) for story in stories])
        y = np.vstack([recording.read(slice(0, 24)).responses[story] for story in stories])
        np.testing.assert_allclose(own.features.xx[fold], x.T @ x, atol=1e-9)
        np.testing.assert_allclose(own.targets.xy[fold], x.T @ y, atol=1e-9)


def test_greedy_takes_no_more_voxels_than_asked_and_none_with_nan(world):
    few, _ = sets_of(world, greedy_voxels=7)
    assert few[0].ridge[1].targets.y.shape == (3, 7)
    all_of_them, _ = sets_of(world)
    assert all_of_them[0].ridge[0].targets.y.shape == (3, 23)


def test_a_held_out_fold_changes_nothing_in_the_sets_made_without_it(world, tmp_path):
    before, fold_of = sets_of(world)
    folder = tmp_path / "responses"
    shutil.copytree(world.workspace.dataset / "responses", folder)
    for subject in ("S1", "S2"):
        with h5py.File(folder / f"{subject}.h5", "r+") as file:
            for story in file["data"]:
                if fold_of.get(story) == 2 or story == "x":
                    noise = np.random.default_rng(1).standard_normal(file[f"data/{story}"].shape)
                    # A voxel with NaN anywhere is left out everywhere, so NaN stay where they are.
                    file[f"data/{story}"][...] = np.where(np.isnan(file[f"data/{story}"][()]), np.nan, noise)
    after, _ = sets_of(world, folder)
    settings = world.settings(methods=METHODS_MADE, n_resamples=4).select
    for name in (*METHODS_MADE, "most_frequent"):
        proposed = [METHODS[name].propose(own[3], [1, 3, 5], settings) for own in (before, after)]
        assert proposed[0] == proposed[1], name
    assert not np.allclose(before[0].products.cross, after[0].products.cross)


@pytest.mark.parametrize("probabilities", [False, True])
def test_yes_is_a_margin_above_zero_or_a_probability(world, probabilities):
    values = world.space.values
    if probabilities:
        values = {story: 1 / (1 + np.exp(-own)) for story, own in values.items()}
    sets, fold_of = sets_of(world, space=Space(list(world.names), values))
    rows = np.vstack([values[story] for story in ("a", "c", "d") if fold_of[story] != 0])
    expected = rows.mean(axis=0) if probabilities else (rows > 0).mean(axis=0)
    np.testing.assert_allclose(sets[1].yes_share, expected, atol=1e-6)
    np.testing.assert_allclose(sets[1].yes_mean, rows.mean(axis=0), atol=1e-6)
