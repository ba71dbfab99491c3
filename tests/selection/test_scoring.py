from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from qaemb.encoding.fit import fit_voxels
from qaemb.encoding.plan import plan_fit
from qaemb.encoding.recording import delayed, open_recordings
from qaemb.encoding.solvers import plain_solver
from qaemb.features.space import Space
from qaemb.selection.scoring import score_sets
from qaemb.selection.training import story_folds

SETS = [(0,), (1, 4, 7), tuple(range(12))]


@pytest.mark.parametrize("protocol", ["strict", "reference"])
def test_a_set_scores_what_a_space_of_its_questions_alone_scores(world, protocol, tmp_path):
    settings = world.settings(protocol=protocol).encode
    recordings = world.recordings()
    scores = score_sets(recordings[0], SETS, [], story_folds(recordings, settings), settings)
    for features in SETS:
        values = {story: own[:, list(features)] for story, own in world.space.values.items()}
        space = Space([world.names[i] for i in features], values)
        folder = world.workspace.dataset / "responses"
        (alone,) = open_recordings(["S1"], space, world.stories, [1, 2], folder)
        plan = plan_fit(alone, settings)
        found = fit_voxels(alone, plan, settings, plain_solver(plan, settings), tmp_path)
        # The stage `encode` sums in single precision.
        assert scores.test[features] == pytest.approx(np.nanmean(found.r), abs=1e-5)


def held_out_r(x, y, train, held, alpha) -> np.ndarray:
    """Refit on the rows; r of each voxel."""
    model = Ridge(alpha=alpha, fit_intercept=False, solver="cholesky").fit(x[train], y[train])
    predicted = model.predict(x[held])
    return np.array([np.corrcoef(predicted[:, v], y[held, v])[0, 1] for v in range(y.shape[1])])


@pytest.mark.parametrize("number", [0, 1])
def test_nested_scores_are_plain_nested_cross_validation_on_rows(world, number):
    settings = world.settings(protocol="reference").encode
    recordings = world.recordings()
    recording, fold_of = recordings[number], story_folds(recordings, settings)
    asked = [(0, SETS[0]), (1, SETS[1]), (2, SETS[1]), (2, SETS[2])]
    scores = score_sets(recording, [], asked, fold_of, settings)
    parts = np.concatenate([np.full(len(own), fold_of[story]) for story, own in recording.train.items()])
    y = np.vstack([recording.read(slice(0, 24)).responses[story] for story in recording.train])
    y = y[:, y.any(axis=0)]  # without the NaN voxel of S1
    for fold, features in asked:
        x = np.vstack([delayed(own[:, list(features)], [1, 2]) for own in recording.train.values()])
        others = [part for part in range(3) if part != fold]
        inner = np.zeros((len(others), 5, y.shape[1]))
        for i, part in enumerate(others):
            train = ~np.isin(parts, (fold, part))
            for j, alpha in enumerate(np.logspace(0, 4, 5)):
                inner[i, j] = held_out_r(x, y, train, parts == part, alpha)
        best = inner.mean(axis=0).argmax(axis=0)
        outer = np.stack([held_out_r(x, y, parts != fold, parts == fold, alpha) for alpha in np.logspace(0, 4, 5)])
        expected = outer[best, np.arange(y.shape[1])].mean()
        assert scores.nested[fold, features] == pytest.approx(expected, abs=1e-9)
