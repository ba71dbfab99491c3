"""Protocols: which train rows choose the penalty. Test rows are in none of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qaemb.errors import BadInput
from qaemb.settings import EncodeSettings


@dataclass(frozen=True)
class Partition:
    """Train rows cut into parts: story -> part of each row (n_trs,), and the sets of parts that are held out in turn.

    Every held-out set is a union of parts, and sets may overlap. The penalty is the one whose correlation on the
    held-out sets, averaged over them, is highest; the model is then fitted on all parts.
    """

    part_of: dict[str, NDArray[np.int64]]
    n_parts: int
    held: tuple[tuple[int, ...], ...]


def strict(n_rows: dict[str, int], settings: EncodeSettings) -> Partition:
    """Return `n_folds` folds of whole stories, about equal in rows, each held out once.

    Stories are dealt in an order drawn from the seed, each to the fold with the fewest rows so far. BadInput if there
    are fewer stories than folds.
    """
    if len(n_rows) < settings.n_folds:
        raise BadInput(f"{len(n_rows)} train stories can't make {settings.n_folds} folds; lower encode.n_folds")
    names = list(n_rows)
    order = np.random.default_rng(settings.seed).permutation(len(names))
    filled = np.zeros(settings.n_folds, dtype=np.int64)
    fold_of = {}
    for name in (names[i] for i in order):
        fold = int(filled.argmin())
        fold_of[name] = np.full(n_rows[name], fold)
        filled[fold] += n_rows[name]
    return Partition(
        {name: fold_of[name] for name in names}, settings.n_folds, tuple((fold,) for fold in range(settings.n_folds))
    )


def reference(n_rows: dict[str, int], settings: EncodeSettings) -> Partition:
    """Return two parts: the last `holdout` of all train rows, in the order of the stories, is held out once.

    The protocol of the reference scores on lebel_pcs; the cut may fall inside a story, so held-out
    rows lie next to train rows.
    """
    lengths = np.array(list(n_rows.values()))
    cut = round(int(lengths.sum()) * (1.0 - settings.holdout))
    parts = np.split((np.arange(lengths.sum()) >= cut).astype(np.int64), np.cumsum(lengths)[:-1])
    return Partition(dict(zip(n_rows, parts, strict=True)), 2, ((1,),))


PROTOCOLS: dict[str, Callable[[dict[str, int], EncodeSettings], Partition]] = {
    "strict": strict,
    "reference": reference,
}
