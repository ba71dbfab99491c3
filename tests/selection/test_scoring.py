from __future__ import annotations

import numpy as np
import pytest

from qaemb.encoding.fit import fit_block, plan_fit
from qaemb.encoding.recording import open_recordings
from qaemb.features.space import Space
from qaemb.selection.scoring import score_subsets

SUBSETS = [(0,), (1, 4, 7), tuple(range(12))]


@pytest.mark.parametrize("protocol", ["strict", "reference"])
def test_a_subset_scores_what_a_space_of_its_questions_alone_scores(world, protocol):
    settings = world.settings(protocol=protocol).encode
    recording = world.recordings()[0]
    scores = score_subsets(recording, SUBSETS, settings, 1)
    for subset, found in zip(SUBSETS, scores.test, strict=True):
        values = {story: own[:, list(subset)] for story, own in world.space.values.items()}
        space = Space([world.names[i] for i in subset], values)
        folder = world.workspace.dataset / "responses"
        (alone,) = open_recordings(["S1"], space, world.stories, [1, 2], folder)
        block = fit_block(alone, plan_fit(alone, settings), settings, slice(0, 24))
        assert found == pytest.approx(np.nanmean(block.r), abs=1e-9)


def test_folds_are_plain_cross_validation_over_stories(world):
    from qaemb.encoding.design import delayed
    from qaemb.encoding.protocols import PROTOCOLS

    settings = world.settings(protocol="reference").encode
    recording = world.recordings()[1]
    folds = score_subsets(recording, SUBSETS, settings, 2).folds
    assert np.isnan(folds[2]).all()
    part_of = PROTOCOLS["strict"](recording.train_rows(), settings).part_of
    parts = np.concatenate(list(part_of.values()))
    y = np.vstack([recording.read(slice(0, 24))[0][story] for story in recording.train])
    for subset, found in zip(SUBSETS[:2], folds, strict=False):
        x = np.vstack([delayed(own[:, list(subset)], [1, 2]) for own in recording.train.values()])
        r = np.zeros((3, 5, 24))
        for fold in range(3):
            train, held = parts != fold, parts == fold
            for i, alpha in enumerate(np.logspace(0, 4, 5)):
                gram = x[train].T @ x[train] + alpha * np.eye(x.shape[1])
                predicted = x[held] @ np.linalg.solve(gram, x[train].T @ y[train])
                r[fold, i] = [np.corrcoef(predicted[:, v], y[held, v])[0, 1] for v in range(24)]
        best = r.mean(axis=0).argmax(axis=0)
        np.testing.assert_allclose(found, r[:, best, np.arange(24)].mean(axis=1), atol=1e-9)
