from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qaemb.encoding.design import delayed
from qaemb.errors import BadInput
from qaemb.selection.methods import METHODS
from qaemb.selection.problem import build_products


def test_products_are_over_the_shared_train_stories(world):
    settings = world.settings(n_pcs=100)  # more than voxels: the voxels themselves
    recordings = world.recordings()
    found = build_products(recordings, settings.select, settings.encode)
    x, y = [], []
    for story in ("a", "c", "d"):  # S2 lacks b
        blocks = delayed(recordings[0].train[story], [1, 2])
        x.append((blocks[:, :12] + blocks[:, 12:]) / 2)
        both = [np.nan_to_num(recording.read(slice(0, 24))[0][story]) for recording in recordings]
        y.append(np.hstack(both))
    x, y = np.vstack(x), np.vstack(y)
    y = np.hstack([half / np.linalg.norm(half) for half in (y[:, :24], y[:, 24:])])
    np.testing.assert_allclose(found.gram, x.T @ x / len(x), atol=1e-10)
    np.testing.assert_allclose(found.cross, x.T @ y / len(x), atol=1e-10)


def test_few_components_find_what_drives_the_responses(world):
    settings = world.settings(n_pcs=3)
    products = build_products(world.recordings(), settings.select, settings.encode)
    assert products.cross.shape == (12, 6)
    (subset,) = METHODS["elastic_net"](products, settings.select, [3])
    assert set(subset.features) <= {0, 1, 2, 3}


def test_test_rows_have_no_part(world):
    settings = world.settings()
    recordings = world.recordings()
    changed = [replace(recording, test={"x": recording.test["x"] * 7}) for recording in recordings]
    found, other = (build_products(own, settings.select, settings.encode) for own in (recordings, changed))
    np.testing.assert_array_equal(found.cross, other.cross)
    np.testing.assert_array_equal(found.gram, other.gram)


def test_subjects_without_a_common_story_are_refused(world):
    settings = world.settings()
    first, second = world.recordings()
    apart = replace(first, train={"b": first.train["b"]})
    with pytest.raises(BadInput, match="heard by all subjects"):
        build_products([apart, second], settings.select, settings.encode)
