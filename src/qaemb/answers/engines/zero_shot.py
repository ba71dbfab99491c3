"""Engine `student` without a trained student: the similarity of text and question in an encoder's space.

    margin = scale * (cos(text, question) - mean over r of cos(text, r)),    r: a fixed list of reference questions

Some texts are near to every question (they are long, or read like a question); taking away their mean similarity to
questions removes that. The mean is over a fixed list in the package and not over the questions asked, so that a cell
does not depend on what else is asked. A student always answers: its mass is 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qaemb.answers.answerer import Answers, Cost, Progress, check_finite, check_inputs, engine_version
from qaemb.answers.encoder import Encoder
from qaemb.answers.reference import reference_questions, reference_vector
from qaemb.answers.students.reading import pieces
from qaemb.errors import BadParameter
from qaemb.identity import json_id
from qaemb.settings import AnswererSettings


class ZeroShotAnswerer:
    """Answers by similarity, one pass of the encoder per text, whatever the number of questions."""

    def __init__(self, settings: AnswererSettings, folder: Path) -> None:
        if settings.prompt is not None:
            raise BadParameter("engine `student` takes no `prompt`; remove it")
        if settings.dtype != "float32":
            raise BadParameter("engine `student` computes in float32; remove `dtype`")
        self.settings = settings
        self.encoder = Encoder(folder, settings.threads)
        self._known: dict[str, NDArray[np.float32]] = {}  # vectors of the questions asked so far

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

    @cached_property
    def key(self) -> str:
        """The hash of `spec`."""
        return json_id(self.spec)

    @property
    def figures(self) -> dict[str, float]:
        """Nothing is measured."""
        return {}

    def cost(self, texts: Sequence[str], questions: Sequence[str]) -> Cost:
        """Return the tokens of all texts and of the questions not yet seen, and how many texts are cut."""
        check_inputs(texts, questions)
        lengths, n_cut = self.encoder.lengths([_without_marks(text) for text in texts])
        new, _ = self.encoder.lengths(self._unknown(questions) or ["-"])
        return Cost(sum(lengths) + sum(new), n_cut)

    def answer(self, texts: Sequence[str], questions: Sequence[str], progress: Progress | None = None) -> Answers:
        """Return margin of every text and question, and mass 1."""
        check_inputs(texts, questions)
        probes = self._vectors(questions) - self._centre  # cos(t, q) - mean cos(t, r) = t . (q - mean r)
        vectors = self.encoder.embed([_without_marks(text) for text in texts])
        margin = np.float32(self.settings.scale) * (vectors @ probes.T)
        if progress:
            progress(margin.size)
        return check_finite(Answers(margin.astype(np.float32), np.ones_like(margin, dtype=np.float32)))

    @cached_property
    def _centre(self) -> NDArray[np.float32]:
        """The mean vector (d,) of the reference questions."""
        return reference_vector(self.encoder)

    def _unknown(self, questions: Sequence[str]) -> list[str]:
        return [question for question in dict.fromkeys(questions) if question not in self._known]

    def _vectors(self, questions: Sequence[str]) -> NDArray[np.float32]:
        new = self._unknown(questions)
        if new:
            self._known.update(zip(new, self.encoder.embed(new), strict=True))
        return np.stack([self._known[question] for question in questions])


def _without_marks(text: str) -> str:
    """Return a text whose segment is marked in its context as one text; similarity knows no context."""
    return pieces(text, context=False)[0] or text
