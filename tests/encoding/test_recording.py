from __future__ import annotations

import h5py
import numpy as np
import pytest

from qaemb.encoding.recording import ResponseFile, open_recordings
from qaemb.errors import BadInput
from qaemb.features.space import Space


def opened(world, space=None, subjects=("S1", "S2"), stories=None):
    stories = world.stories if stories is None else stories
    return open_recordings(subjects, space or world.space, stories, [1, 2], world.responses)


def test_a_story_that_a_subject_lacks_is_left_out_for_that_subject(world):
    first, second = opened(world)
    assert list(first.train) == ["a", "b", "c", "d", "e"]
    assert list(second.train) == ["a", "b", "d", "e"]
    assert list(first.test) == list(second.test) == ["x", "y"]


def test_features_are_zscored_inside_each_story(world):
    for values in opened(world)[0].train.values():
        np.testing.assert_allclose(values.mean(axis=0), 0, atol=1e-12)
        np.testing.assert_allclose(values.std(axis=0), 1)


def test_responses_are_centred_and_voxels_with_a_nan_are_marked(world):
    block = opened(world)[0].read(slice(0, 10))
    responses, valid = block.responses, block.valid
    assert np.flatnonzero(~valid).tolist() == [world.nan_voxel]
    for values in responses.values():
        assert np.isfinite(values).all()
        np.testing.assert_allclose(values.mean(axis=0), 0, atol=1e-9)


def test_other_rows_than_the_features_name_file_and_story(world):
    values = dict(world.space.values)
    values["d"] = values["d"][:-1]
    with pytest.raises(BadInput, match=r"S1\.h5: d has 55 rows, its features 54"):
        opened(world, Space(world.space.names, values))


@pytest.mark.parametrize("kind", ["train", "test"])
def test_a_subject_without_stories_is_refused(world, kind):
    lacking = world.stories.assign(split=["test", "train"][kind == "test"])
    with pytest.raises(BadInput, match=f"S1 heard no {kind} story"):
        opened(world, stories=lacking)


def test_voxels_come_in_blocks(world):
    assert opened(world)[0].blocks(13) == [slice(0, 13), slice(13, 26), slice(26, 30)]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(BadInput, match=r"S9\.h5 does not exist"):
        ResponseFile(tmp_path / "S9.h5")


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "S1.h5").write_bytes(b"not HDF5")
    with pytest.raises(BadInput, match=r"S1\.h5 can't be opened"):
        ResponseFile(tmp_path / "S1.h5")


def test_stories_of_other_voxels_are_refused(tmp_path):
    with h5py.File(tmp_path / "S1.h5", "w") as file:
        file["data/a"], file["data/b"] = np.zeros((3, 4)), np.zeros((3, 5))
    with pytest.raises(BadInput, match="different voxels"):
        ResponseFile(tmp_path / "S1.h5")


def test_repeats_are_read_where_there_are_some(world):
    file = ResponseFile(world.responses / "S1.h5")
    repeats = file.read_repeats("x", slice(4, 9))
    assert repeats is not None
    np.testing.assert_allclose(repeats.mean(axis=0), file.read("x", slice(4, 9)), atol=1e-6)
    assert file.read_repeats("y", slice(4, 9)) is None
