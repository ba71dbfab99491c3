"""Folds of whole train stories, the same for all subjects, so that a held-out story is held out from everyone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from qaemb.encoding.protocols import Partition, strict
from qaemb.encoding.recording import Recording
from qaemb.errors import BadInput, BadParameter
from qaemb.settings import EncodeSettings

_FEWEST = 3


def shared_stories(recordings: Sequence[Recording]) -> list[str]:
    """Return the train stories that all subjects heard; BadInput if there is none."""
    shared = [story for story in recordings[0].train if all(story in other.train for other in recordings)]
    if not shared:
        raise BadInput("no train story was heard by all subjects, so questions can't be chosen for all of them at once")
    return shared


def story_folds(recordings: Sequence[Recording], settings: EncodeSettings) -> dict[str, int]:
    """Return train story -> fold, for the stories of all subjects.

    Stories that all heard are dealt as under protocol `strict`, so that every subject has rows in every fold; each
    other story goes to the fold with the fewest rows so far. BadParameter if there are fewer than three folds: one is
    scored on, one chooses the penalty, one is fitted on. BadInput if all heard fewer stories than there are folds.
    """
    if settings.n_folds < _FEWEST:
        raise BadParameter(f"encode.n_folds: {settings.n_folds}; selection needs at least {_FEWEST} folds of stories")
    rows = {story: n for recording in recordings for story, n in recording.train_rows().items()}
    shared = shared_stories(recordings)
    dealt = strict({story: rows[story] for story in shared}, settings)
    fold_of = {story: int(parts[0]) for story, parts in dealt.part_of.items()}
    filled = np.zeros(settings.n_folds, dtype=np.int64)
    for story, fold in fold_of.items():
        filled[fold] += rows[story]
    for story, n in rows.items():
        if story not in fold_of:
            fold_of[story] = int(filled.argmin())
            filled[fold_of[story]] += n
    return fold_of


def fold_partition(recording: Recording, fold_of: Mapping[str, int], n_folds: int) -> Partition:
    """Return a subject's train rows cut into these folds, each held out once."""
    part_of = {story: np.full(n, fold_of[story]) for story, n in recording.train_rows().items()}
    return Partition(part_of, n_folds, tuple((fold,) for fold in range(n_folds)))
