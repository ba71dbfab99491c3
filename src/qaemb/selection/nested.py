"""Selection inside nested cross-validation: every choice by scores on stories that had no part in making the set.

For each fold of train stories a method proposes a set of each size on the other folds; a ridge, its penalty too, is
fitted on the other folds and scored on the fold. The size is chosen on these scores, the set of that size proposed on
all train stories. Test stories are scored last and choose nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from qaemb.arrays import Array, Integers
from qaemb.encoding.plan import PROTOCOLS
from qaemb.encoding.recording import Recording
from qaemb.errors import BadInput
from qaemb.features.space import Space
from qaemb.selection.methods import CONTROLS, METHODS, Subset, Training, path_sizes
from qaemb.selection.scoring import SetScores, score_sets
from qaemb.selection.training import story_folds, training_sets
from qaemb.settings import SelectSettings, Settings


def standard_error(folds: Array) -> Array:
    """Return the standard error of means over folds, (sets,), of scores (sets, folds)."""
    error: Array = folds.std(axis=1, ddof=1) / np.sqrt(folds.shape[1])
    return error


@dataclass(frozen=True)
class Selection:
    """What was proposed and how it scored.

    `final`: all methods' sets from all train stories, first method first, sizes rising; `folds`: for each fold the sets
    in the same order, proposed without it. `scores`: subject -> scores. `chosen` is a position in `final`, `order` the
    questions in order of entry: the first method's sets of 1, 2, ... questions, (position, size at which it enters).
    """

    names: list[str]
    final: list[Subset]
    folds: list[list[Subset]]
    scores: dict[str, SetScores]
    chosen: int
    order: list[tuple[int, int]]

    @property
    def chosen_set(self) -> Subset:
        """The set that is chosen."""
        return self.final[self.chosen]

    def nested(self, subject: str) -> Array:
        """Return nested r of one subject, (sets of `final`, folds)."""
        r, positions = self.scores[subject].nested, range(len(self.final))
        return np.array([[r[fold, sets[i].features] for fold, sets in enumerate(self.folds)] for i in positions])

    def mean_nested(self) -> Array:
        """Return nested r, mean over subjects, (sets of `final`, folds)."""
        return np.mean([self.nested(subject) for subject in self.scores], axis=0)


def run_selection(settings: Settings, space: Space, recordings: Sequence[Recording]) -> Selection:
    """Return the sets of all methods and controls of `settings.select`, their scores and the chosen set.

    BadInput if there is nothing to select from, or stories are too few for the folds; BadParameter if a size is
    impossible or there are fewer than three folds.
    """
    select, encode = settings.select, settings.encode
    for recording in recordings:
        PROTOCOLS[encode.protocol](recording.train_rows(), encode)  # refuses what can't be scored, before the long part
    fold_of = story_folds(recordings, encode)
    trainings = training_sets(recordings, space, fold_of, select, encode)
    if any(
        products.largest_alpha() == 0 for training in trainings for products in (training.products, *training.halves)
    ):
        raise BadInput("no answer varies with the responses in some of the train stories; look at the space's answers")
    sizes = path_sizes(trainings[0], select)
    if not sizes:
        raise BadInput("no question is kept at any penalty; lower select.alpha_min_ratio, or give select.sizes")
    first = METHODS[select.methods[0]].propose(trainings[0], range(1, max(sizes) + 1), select)
    others = (*select.methods[1:], *CONTROLS)
    final = [subset for subset in first if subset.size in sizes] + _propose(trainings[0], others, sizes, select)
    folds = [_propose(training, (select.methods[0], *others), sizes, select) for training in trainings[1:]]
    # The same questions are scored once, whoever proposed them.
    sets = list(dict.fromkeys(subset.features for subset in final))
    fold_sets = list(
        dict.fromkeys((fold, subset.features) for fold, proposed in enumerate(folds) for subset in proposed)
    )
    scores = {one.subject: score_sets(one, sets, fold_sets, fold_of, encode) for one in recordings}
    selection = Selection(space.names, final, folds, scores, 0, _order_of_entry(first))
    return replace(selection, chosen=_choose(selection))


def _choose(selection: Selection) -> int:
    """Return the chosen set's position; BadInput if it is empty, as where the first questions are the same twice."""
    path = [i for i, subset in enumerate(selection.final) if subset.method == selection.final[0].method]
    sizes = np.array([selection.final[i].size for i in path])
    chosen = path[_one_standard_error(sizes, selection.mean_nested()[path])]
    if not selection.final[chosen].features:
        raise BadInput(
            "no set of questions predicts held-out train stories better than none does, so none is chosen; "
            "look at the space's answers, or give larger select.sizes"
        )
    return chosen


def _one_standard_error(sizes: Integers, folds: Array) -> int:
    """Return the position of the smallest size whose mean score is within one standard error of the best.

    `folds` (sizes, folds) are held-out scores; the error is that of the best size's mean over its folds (Breiman et
    al., 1984).

    >>> _one_standard_error(np.array([5, 10, 20]), np.array([[1.0, 2.0], [2.0, 3.0], [2.1, 3.1]]))
    1
    """
    means = folds.mean(axis=1)
    best = int(means.argmax())
    enough = np.flatnonzero(means >= means[best] - standard_error(folds)[best])
    return int(enough[np.argmin(sizes[enough])])


def _propose(
    training: Training, methods: Sequence[str], sizes: Sequence[int], settings: SelectSettings
) -> list[Subset]:
    return [subset for name in methods for subset in METHODS[name].propose(training, sizes, settings)]


def _order_of_entry(sets: Sequence[Subset]) -> list[tuple[int, int]]:
    """Return (question, size of the first set that has it) in order of entry; `sets` have rising sizes."""
    entered: dict[int, int] = {}
    for subset in sets:
        for feature in subset.features:
            entered.setdefault(feature, subset.size)
    return list(entered.items())
