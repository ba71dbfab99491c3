"""Heads: a linear map to labels, learnt on train stories, out of fold for them."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from qaemb.errors import BadInput
from qaemb.features.heads import _PENALTIES, fit_heads, side_by_side


@pytest.fixture
def world():
    """Six stories of embeddings, labels that they carry with noise; the last story is a test story."""
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((8, 3))
    embedding = {f"s{i}": rng.standard_normal((40 + i, 8)) for i in range(6)}
    labels = {
        story: (values @ weights + rng.standard_normal((len(values), 3)) > 0.5).astype(np.float32)
        for story, values in embedding.items()
    }
    return embedding, labels, [f"s{i}" for i in range(5)]


def test_test_stories_get_the_map_of_all_train_stories(world):
    embedding, labels, train = world
    heads = fit_heads(embedding, labels, train)
    oracle = Ridge(alpha=heads.penalty).fit(
        np.vstack([embedding[s] for s in train]), np.vstack([labels[s] for s in train])
    )
    np.testing.assert_allclose(heads.values["s5"], oracle.predict(embedding["s5"]), atol=1e-4)
    assert heads.penalty in _PENALTIES


def test_a_train_story_is_answered_without_its_own_labels(world):
    embedding, labels, train = world
    heads = fit_heads(embedding, labels, train, n_folds=5)
    others = [s for s in train if s != "s2"]  # five folds of five stories: one story a fold
    oracle = Ridge(alpha=heads.penalty).fit(
        np.vstack([embedding[s] for s in others]), np.vstack([labels[s] for s in others])
    )
    np.testing.assert_allclose(heads.values["s2"], oracle.predict(embedding["s2"]), atol=1e-4)


def test_labels_of_test_stories_are_never_looked_at(world):
    embedding, labels, train = world
    before = fit_heads(embedding, labels, train)
    after = fit_heads(embedding, {story: labels[story] for story in train}, train)
    for story in embedding:
        np.testing.assert_array_equal(before.values[story], after.values[story])


def test_held_out_r_is_that_of_the_values(world):
    embedding, labels, train = world
    heads = fit_heads(embedding, labels, train)
    found, wanted = (np.vstack([values[s] for s in train]) for values in (heads.values, labels))
    r = [np.corrcoef(found[:, i], wanted[:, i])[0, 1] for i in range(3)]
    assert heads.held_out_r == pytest.approx(np.mean(r), abs=1e-5)
    assert heads.held_out_r > 0.5


def test_wrong_inputs_are_named(world):
    embedding, labels, train = world
    with pytest.raises(BadInput, match="4 train stories can't make 5 folds"):
        fit_heads(embedding, labels, train[:4])
    with pytest.raises(BadInput, match="s1 has 41 rows but 40 rows of labels"):
        fit_heads(embedding, labels | {"s1": labels["s1"][:-1]}, train)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_side_by_side_is_the_plain_loop_and_nothing_at_the_edges(n):
    values = np.arange(1.0, 2 * n + 1, dtype=np.float32).reshape(n, 2)
    offsets = [-3, -1, 0, 2]
    expected = [
        np.concatenate([values[row + k] if 0 <= row + k < n else np.zeros(2) for k in offsets]) for row in range(n)
    ]
    np.testing.assert_array_equal(side_by_side(values, offsets), expected)
