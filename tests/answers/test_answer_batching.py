"""Batches cover everything once and keep within the budget."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qaemb.answers.batching import Budget, length_batches

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=40)


@given(prefixes=LENGTHS, suffixes=LENGTHS, header=st.integers(0, 20), tokens=st.integers(64, 4096))
def test_every_cell_is_in_one_pass_and_passes_keep_the_budget(prefixes, suffixes, header, tokens):
    prefixes = [header + length for length in prefixes]
    budget, seen = Budget(tokens), []
    for group in budget.prefix_groups(prefixes, header, suffixes):
        longest = max(prefixes[i] for i in group)
        assert len(group) == 1 or len(group) * (longest - header) <= tokens
        for chunk in budget.suffix_chunks(suffixes, len(group), longest):
            cells, length = len(group) * len(chunk), max(suffixes[j] for j in chunk)
            assert len(chunk) == 1 or cells * length <= tokens
            seen += itertools.product(group, chunk)
    assert sorted(seen) == list(itertools.product(range(len(prefixes)), range(len(suffixes))))


@given(lengths=LENGTHS, budget=st.integers(1, 500))
def test_length_batches_hold_each_row_once_within_the_budget(lengths, budget):
    batches = length_batches(lengths, budget)
    assert sorted(itertools.chain(*batches)) == list(range(len(lengths)))
    assert all(len(batch) == 1 or len(batch) * lengths[batch[0]] <= budget for batch in batches)
    assert [lengths[i] for batch in batches for i in batch] == sorted(lengths, reverse=True)


@pytest.mark.parametrize("n_suffixes", [1, 8, 500])
def test_many_short_texts_fill_a_pass(n_suffixes):
    budget = Budget(4096)
    group = budget.prefix_groups([40] * 1000, 30, [14] * n_suffixes)[0]
    chunk = budget.suffix_chunks([14] * n_suffixes, len(group), 40)[0]
    assert len(group) * len(chunk) * 14 > 0.7 * 2900
