"""Batches cover everything once and keep within the budget; the size of a pass is found by its speed."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qaemb.models.inputs import PassSize, group_size, length_batches, rows_per_pass

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=40)


@given(lengths=LENGTHS, header=st.integers(0, 20), tokens=st.integers(64, 4096))
def test_a_group_of_prefixes_is_not_empty_and_keeps_the_budget(lengths, header, tokens):
    lengths = sorted((header + length for length in lengths), reverse=True)
    n = group_size(lengths, header, tokens)
    assert 1 <= n <= len(lengths)
    assert n == 1 or n * (lengths[0] - header) <= tokens
    assert n == 1 or n * lengths[0] <= 4 * tokens


@pytest.mark.parametrize(
    ("n_nodes", "n_answers", "tokens", "rows"), [(256, 25, 1024, 4), (300, 1, 256, 1), (6, 6, 65_536, 170)]
)
def test_rows_of_a_pass(n_nodes, n_answers, tokens, rows):
    assert rows_per_pass(n_nodes, n_answers, tokens) == rows


def find(speed, passes=200):
    """The size that is settled on when a pass of `n` tokens runs at `speed(n)` tokens per second."""
    size = PassSize(None)
    for _ in range(passes):
        size.record(size.tokens, size.tokens / speed(size.tokens))
    return size.tokens


@pytest.mark.parametrize(
    ("speed", "expected"),
    [
        (lambda n: 1000.0, 1024),  # all alike: no more memory than needed
        (lambda n: n / (n + 4000), 65_536),  # larger is faster, up to the limit
        (lambda n: min(n, 5000), 8192),  # 8192 gains over 4096, 16384 nothing more
        (lambda n: 1e6 / n, 256),  # smaller is faster
        (lambda n: -abs(n - 2048) + 10_000, 2048),
    ],
)
def test_the_search_finds_the_fastest_size(speed, expected):
    assert find(speed) == expected


def test_passes_that_are_not_full_say_nothing():
    size = PassSize(None)
    for _ in range(100):
        size.record(size.tokens // 2, 1.0)
    assert size.tokens == 1024


def test_a_fixed_size_stays_and_memory_halves_it():
    size = PassSize(1000)
    for _ in range(100):
        size.record(1000, 1.0)
    assert size.tokens == 1000
    assert size.shrink()
    assert size.tokens == 500
    assert not size.shrink()


def test_after_running_out_of_memory_a_size_is_not_tried_again():
    size = PassSize(None)
    for _ in range(4):
        size.record(1024, 1.0)
    assert size.tokens == 2048
    assert size.shrink()
    for _ in range(100):
        size.record(size.tokens, 1e-6)
    assert size.tokens == 1024


@given(lengths=LENGTHS, budget=st.integers(1, 500))
def test_length_batches_hold_each_row_once_within_the_budget(lengths, budget):
    batches = length_batches(lengths, budget)
    assert sorted(itertools.chain(*batches)) == list(range(len(lengths)))
    assert all(len(batch) == 1 or len(batch) * lengths[batch[0]] <= budget for batch in batches)
    assert [lengths[i] for batch in batches for i in batch] == sorted(lengths, reverse=True)
