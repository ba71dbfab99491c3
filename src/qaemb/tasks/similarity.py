"""Similarity of pairs of texts, beside human ratings (Spearman's rho)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import spearmanr

from qaemb.errors import BadInput
from qaemb.settings import TaskSettings
from qaemb.tasks.task import Features, MethodResult, TaskResult, Values

_COLUMNS = ("first", "second", "score")


@dataclass(frozen=True)
class Pairs:
    """Pairs of texts and how similar people find them (pairs,), on any scale."""

    first: list[str]
    second: list[str]
    score: NDArray[np.float64]

    @property
    def texts(self) -> list[str]:
        """All texts, each once."""
        return list(dict.fromkeys([*self.first, *self.second]))


def read_pairs(path: Path) -> Pairs:
    """Return the pairs of a CSV with columns `first`, `second`, `score`; BadInput names what is wrong."""
    if not path.is_file():
        raise BadInput(f"{path} is no file; a similarity task is a CSV with columns {', '.join(_COLUMNS)}")
    table = pd.read_csv(path)
    lacking = [column for column in _COLUMNS if column not in table]
    if lacking:
        raise BadInput(f"{path} has no column `{lacking[0]}`; give {', '.join(_COLUMNS)}")
    return Pairs(list(table["first"]), list(table["second"]), table["score"].to_numpy(np.float64))


def evaluate_similarity(pairs: Pairs, features: Features, settings: TaskSettings) -> TaskResult:
    """Return Spearman's rho with the ratings: of the answers' and the embedding's cosine."""
    first, second = features.rows(pairs.first), features.rows(pairs.second)
    centred = features.margin - features.margin.mean(axis=0)
    measures = {"answers": centred, "embedding": features.embedding}
    scores = {name: float(spearmanr(_cosine(x[first], x[second]), pairs.score)[0]) for name, x in measures.items()}
    methods = [MethodResult(name, {"spearman": score}) for name, score in scores.items()]
    return TaskResult(methods, {"n_pairs": len(pairs.score)})


def _cosine(first: Values, second: Values) -> Values:
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return (first * second).sum(axis=1) / np.maximum(lengths, 1e-12)
