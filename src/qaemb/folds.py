"""Dealing stories or rows into folds, from a seed: the one place that decides what is held out with what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from qaemb.arrays import Integers


def deal_by_size(
    sizes: Mapping[str, int], n_folds: int, seed: int | None, dealt: Mapping[str, int] | None = None
) -> dict[str, int]:
    """Return name -> fold, in the order of `sizes`; folds have about equal sums of `sizes`.

    Names are dealt in an order drawn from the seed (None: in the order of `sizes`), each to the fold with the smallest
    sum so far. Names of `dealt` stay in the folds that they have there.

    >>> deal_by_size({"a": 10, "b": 6, "c": 5}, 2, seed=0)
    {'a': 1, 'b': 0, 'c': 0}
    >>> deal_by_size({"a": 10, "b": 6, "c": 5}, 2, seed=None, dealt={"a": 0})
    {'a': 0, 'b': 1, 'c': 1}
    """
    fold_of, filled, names = dict(dealt or {}), np.zeros(n_folds, dtype=np.int64), list(sizes)
    for name, fold in fold_of.items():
        filled[fold] += sizes[name]
    if seed is not None:
        names = [names[i] for i in np.random.default_rng(seed).permutation(len(names))]
    for name in names:
        if name not in fold_of:
            fold_of[name] = int(filled.argmin())
            filled[fold_of[name]] += sizes[name]
    return {name: fold_of[name] for name in sizes}


def every_nth(n: int, n_folds: int, seed: int) -> list[Integers]:
    """Return the numbers 0 to n - 1 in folds, each of which has every n-th one of an order drawn from the seed."""
    order = np.random.default_rng(seed).permutation(n)
    return [order[fold::n_folds] for fold in range(n_folds)]


def in_runs(n: int, n_folds: int, seed: int) -> list[Integers]:
    """Return the numbers 0 to n - 1 in at most `n_folds` folds: runs of an order drawn from the seed."""
    return np.array_split(np.random.default_rng(seed).permutation(n), min(n_folds, n))


def held_out_in_turn(folds: list[Integers]) -> Iterator[tuple[Integers, Integers]]:
    """Yield the numbers outside of a fold and those in it, both rising, for each fold."""
    everything = np.concatenate(folds)
    for fold in folds:
        yield np.setdiff1d(everything, fold), np.sort(fold)


def split_off(n: int, n_first: int, seed: int) -> tuple[Integers, Integers]:
    """Return `n_first` of the numbers 0 to n - 1, drawn at random from the seed, and the others, both rising."""
    order = np.random.default_rng(seed).permutation(n)
    return np.sort(order[:n_first]), np.sort(order[n_first:])
