"""Packs hold every ending once, share what can be shared, and show each token its own ancestors alone."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from qaemb.answers.packing import pack

ENDINGS = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=8), min_size=1, max_size=30)


def test_endings_that_begin_alike_share_nodes():
    (tree,) = pack([[1, 2, 3], [1, 2, 4], [5], [1, 2]], max_nodes=100)
    assert sorted(tree.ids) == [1, 2, 3, 4, 5]
    ends = dict(zip(tree.members, tree.ends, strict=True))
    assert [tree.ids[ends[number]] for number in range(4)] == [3, 4, 5, 2]
    assert tree.places()[[ends[0], ends[1], ends[2], ends[3]]].tolist() == [2, 2, 0, 1]


@given(endings=ENDINGS, max_nodes=st.integers(1, 40))
def test_reading_what_the_last_token_sees_gives_the_ending_back(endings, max_nodes):
    members = []
    for tree in pack(endings, max_nodes):
        visible, places = tree.visible(), tree.places()
        for number, end in zip(tree.members, tree.ends, strict=True):
            seen = np.flatnonzero(visible[end])
            assert [tree.ids[node] for node in seen] == endings[number]
            assert places[seen].tolist() == list(range(len(endings[number])))
        members += tree.members
        assert len(tree.ids) <= max_nodes or len(tree.members) == 1
    assert sorted(members) == list(range(len(endings)))


@given(endings=ENDINGS)
def test_one_pack_computes_each_distinct_beginning_once(endings):
    (tree,) = pack(endings, max_nodes=10_000)
    assert len(tree.ids) == len({tuple(ending[:k]) for ending in endings for k in range(1, len(ending) + 1)})
