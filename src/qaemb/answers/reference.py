"""A fixed list of questions whose mean similarity to a text is taken away from every similarity of a student."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import yaml
from numpy.typing import NDArray

from qaemb.answers.encoder import Encoder


def reference_questions() -> list[str]:
    """Return the fixed questions whose mean similarity is taken away from every text's similarities."""
    text = files("qaemb.answers").joinpath("reference_questions.yaml").read_text(encoding="utf-8")
    return [str(question) for question in yaml.safe_load(text)]


def reference_vector(encoder: Encoder) -> NDArray[np.float32]:
    """Return the mean vector (d,) of the reference questions."""
    return encoder.embed(reference_questions()).mean(axis=0, dtype=np.float64).astype(np.float32)
