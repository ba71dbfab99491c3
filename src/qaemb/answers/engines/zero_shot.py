"""Engine `student` without a trained student: the similarity of text and question in an encoder's space.

    margin = scale * (cos(text, question) - mean over r of cos(text, r)),    r: a fixed list of reference questions

Some texts are near to every question (they are long, or read like a question); taking away their mean similarity to
questions removes that. The mean is over a fixed list in the package and not over the questions asked, so that a cell
does not depend on what else is asked. A student always answers: its mass is 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from qaemb.answers.answerer import Answers, Cost, Progress, check_finite, check_inputs, engine_version
from qaemb.answers.engines.encoder_based import EncoderAnswerer
from qaemb.answers.reference import reference_questions
from qaemb.answers.students.reading import pieces


class ZeroShotAnswerer(EncoderAnswerer):
    """Answers by similarity."""

    @cached_property
    def spec(self) -> dict[str, Any]:
        """Model digest, scale, reference questions, version."""
        return {
            "family": "zero_shot",
            "model_digest": self.encoder.info.digest,
            "scale": self.settings.scale,
            "reference_questions": reference_questions(),
            "dtype": self.settings.dtype,
            "engine_version": engine_version(),
        }

    def cost(self, texts: Sequence[str], questions: Sequence[str]) -> Cost:
        """Return the tokens of all texts and of the questions not yet seen, and how many texts are cut."""
        check_inputs(texts, questions)
        lengths, n_cut = self.encoder.lengths([_without_marks(text) for text in texts])
        return Cost(sum(lengths) + self.question_tokens(questions), n_cut)

    def answer(self, texts: Sequence[str], questions: Sequence[str], progress: Progress | None = None) -> Answers:
        """Return margin of every text and question, and mass 1."""
        check_inputs(texts, questions)
        probes = self.question_vectors(questions) - self.reference  # cos(t, q) - mean cos(t, r) = t . (q - mean r)
        vectors = self.encoder.embed([_without_marks(text) for text in texts])
        margin = np.float32(self.settings.scale) * (vectors @ probes.T)
        if progress:
            progress(margin.size)
        return check_finite(Answers(margin.astype(np.float32), np.ones_like(margin, dtype=np.float32)))


def _without_marks(text: str) -> str:
    """Return a text whose segment is marked in its context as one text; similarity knows no context."""
    return pieces(text, context=False)[0] or text
