"""Texts whose labels are decided by the answers to two questions, and features of them as the stage gives them."""

from __future__ import annotations

import numpy as np

from qaemb.questions import Question
from qaemb.settings import DownstreamSettings, TaskSettings
from qaemb.tasks import Features
from qaemb.tasks.labelled import Labelled

N_QUESTIONS = 20
DECIDING = (3, 11)


def features(texts: list[str], margin: np.ndarray, mass: np.ndarray | None = None, seed: int = 0) -> Features:
    """Features with random embeddings, and questions `q0`, `q1`, ..."""
    rng = np.random.default_rng(seed)
    questions = [Question(f"q{number}", f"Does the text have property {number}?") for number in range(margin.shape[1])]
    return Features(
        texts,
        questions,
        margin.astype(np.float32),
        (np.ones(margin.shape) if mass is None else mass).astype(np.float32),
        _unit(rng.standard_normal((len(texts), 64))),
        _unit(rng.standard_normal((margin.shape[1], 64))),
    )


def planted(n_texts: int = 240, seed: int = 0) -> tuple[Labelled, Features]:
    """Four labels, one for each pair of answers to the DECIDING questions; the other questions are noise."""
    rng = np.random.default_rng(seed)
    margin = rng.normal(0.0, 2.0, (n_texts, N_QUESTIONS))
    first, second = (margin[:, column] > 0 for column in DECIDING)
    margin[:, list(DECIDING)] += np.sign(margin[:, list(DECIDING)])
    labels = [f"{'yes' if a else 'no'}-{'yes' if b else 'no'}" for a, b in zip(first, second, strict=True)]
    texts = [f"text {number}" for number in range(n_texts)]
    return Labelled(texts, labels), features(texts, margin)


def settings(kind: str, **sections: object) -> TaskSettings:
    values = {"kind": kind, "data": "x.csv", "answerer": "a", "encoder": "e", "n_resamples": 200}
    return DownstreamSettings.model_validate({"tasks": {"own": values | sections}}).tasks["own"]


def _unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
