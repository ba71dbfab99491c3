"""The score of a linear model as a function of named features: weights are read off, whatever its steps are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qaemb.errors import BadInput

Values = NDArray[np.float64]
_TOLERANCE = 1e-6


class LinearScore:
    """What a fitted scikit-learn model says of features (texts, questions): one number a text.

    Its `decision_function`, or `predict` where it has none; `target` is the class or output, where there are several.
    BadInput for a model that was fitted on other columns than `names`, or that can't be asked.
    """

    def __init__(self, model: Any, names: Sequence[str], target: int = 0) -> None:
        self._model, self._names, self._target = model, list(names), target
        ask = getattr(model, "decision_function", None) or getattr(model, "predict", None)
        if ask is None:
            raise BadInput(f"{type(model).__name__} neither predicts nor decides; give a fitted linear model")
        self._ask = ask
        check_columns(model, self._names)

    def __call__(self, features: Values) -> Values:
        """Return the scores (texts,)."""
        named = hasattr(self._model, "feature_names_in_")
        told = self._ask(pd.DataFrame(features, columns=self._names) if named else features)
        scores = np.asarray(told, np.float64).reshape(len(features), -1)
        if not 0 <= self._target < scores.shape[1]:
            raise BadInput(f"target is {self._target}, the model has {scores.shape[1]} outputs; give one from 0 on")
        return scores[:, self._target]

    def weights(self) -> Values:
        """Return the weight of each feature (questions,): how the score changes with it."""
        at = self(np.vstack([np.zeros(len(self._names)), np.eye(len(self._names))]))
        return at[1:] - at[0]

    def check_linear(self, feature: Values, base: Values, weights: Values) -> None:
        """Raise BadInput where the score of `feature` (questions,) is not that of `base` plus weights times steps."""
        of_base, of_feature = self(np.vstack([base, feature]))
        shares = weights * (feature - base)
        if abs(of_base + shares.sum() - of_feature) > _TOLERANCE * (1 + np.abs(shares).sum()):
            raise BadInput(f"{type(self._model).__name__} is not linear in the features; give a linear model")


def check_columns(model: Any, names: Sequence[str]) -> None:
    """Raise BadInput where a fitted model wants other columns than `names`; it names what is missing and too much."""
    known = getattr(model, "feature_names_in_", None)
    if known is None:
        wanted = getattr(model, "n_features_in_", len(names))
        if wanted != len(names):
            raise BadInput(f"the model was fitted on {wanted} features, there are {len(names)} questions; fit it again")
        return
    lacking, more = ([name for name in a if name not in set(b)] for a, b in ((known, names), (names, known)))
    if lacking or more:
        raise BadInput(
            f"the model was fitted on other questions: it wants {_listed(lacking)}, and does not know {_listed(more)}; "
            "take the set that it was fitted on"
        )
    if list(known) != list(names):
        raise BadInput("the model was fitted on these questions in another order; put them in that order")


def _listed(names: Sequence[str], most: int = 5) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:most]) or "nothing more"
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
