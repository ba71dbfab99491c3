"""An answerer whose answers are known, and an embedder that asks it."""

import numpy as np
import pytest

from qaemb import QAEmbedder
from qaemb.answers import Answers, Cost
from qaemb.identity import json_id

QUESTIONS = {"food": "Is there food?", "long": "Is the text long?", "a": "Does it have an a?"}
TEXTS = ["an apple", "bread and butter and jam", "dog", "the longest of all the texts that are here", "an apple"]


class Counting:
    """An answerer whose margin of a text and question is known, and that counts the cells it is asked."""

    engine_name = "counting"

    def __init__(self, shift: float = 0.0) -> None:
        self.shift, self.cells = shift, 0

    @property
    def spec(self):
        return {"engine": self.engine_name, "shift": self.shift}

    @property
    def key(self):
        return json_id(self.spec)

    @property
    def figures(self):
        return {}

    def cost(self, texts, questions):
        return Cost(len(texts), 0)

    def answer(self, texts, questions, progress=None):
        self.cells += len(texts) * len(questions)
        margin = np.array([[margin_of(text, question) for question in questions] for text in texts], np.float32)
        return Answers(margin + np.float32(self.shift), np.ones_like(margin))


def margin_of(text: str, question: str) -> float:
    return {"Is there food?": 1.5 if "a" in text else -2.0, "Is the text long?": len(text) / 10 - 1.0}.get(
        question, text.count("a") - 0.5
    )


@pytest.fixture
def answerer() -> Counting:
    return Counting()


@pytest.fixture
def embedder(answerer, tmp_path) -> QAEmbedder:
    return QAEmbedder(QUESTIONS, answerer, cache=tmp_path)


def expected(texts) -> np.ndarray:
    return np.array([[margin_of(text, question) for question in QUESTIONS.values()] for text in texts], np.float32)
