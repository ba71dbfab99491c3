"""What a method predicted of the texts that it was tested on, and how right that was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qaemb.tasks.folds import Rows, Split
from qaemb.tasks.labelled import Labelled
from qaemb.tasks.resampling import Estimate, Scores, mean_with_interval, paired_difference


@dataclass(frozen=True)
class Predictions:
    """Codes of labels: of the tested texts (texts,), and predicted in each run (runs, texts).

    A run is a repeat of the folds, or a draw of random questions in it. Texts of one of `units` (texts,) are resampled
    together.
    """

    truth: Rows
    predicted: Rows
    units: Rows

    @property
    def correct(self) -> Scores:
        """How often each text was classified right, as a share of the runs, (texts,)."""
        share: Scores = (self.predicted == self.truth).mean(axis=0)
        return share

    def metrics(self, n_resamples: int, seed: int) -> dict[str, float]:
        """Return accuracy with its interval, balanced accuracy and macro F1, means over runs."""
        from sklearn.metrics import balanced_accuracy_score, f1_score

        balanced = [balanced_accuracy_score(self.truth, run) for run in self.predicted]
        f1 = [f1_score(self.truth, run, average="macro", zero_division=0.0) for run in self.predicted]
        accuracy = mean_with_interval(self.correct, n_resamples, seed, self.units)
        return {
            **accuracy.metrics("accuracy"),
            "balanced_accuracy": float(np.mean(balanced)),
            "macro_f1": float(np.mean(f1)),
        }

    def less(self, other: Predictions, n_resamples: int, seed: int) -> Estimate:
        """Return the difference of accuracy to another method on the same texts."""
        return paired_difference(self.correct, other.correct, n_resamples, seed, self.units)


def join(labelled: Labelled, splits: Sequence[Split], draws: Sequence[Sequence[Rows]]) -> Predictions:
    """Return the predictions of one method from those of the test rows of each split, for each draw of questions."""
    n_repeats = 1 + max(split.repeat for split in splits)
    runs = np.full((len(draws), n_repeats, len(labelled.texts)), -1, np.int64)
    for draw, by_split in zip(runs, draws, strict=True):
        for split, predicted in zip(splits, by_split, strict=True):
            draw[split.repeat, split.test] = predicted
    tested = np.flatnonzero((runs >= 0).all(axis=(0, 1)))
    return Predictions(labelled.codes[tested], runs.reshape(-1, len(labelled.texts))[:, tested], labelled.units[tested])
