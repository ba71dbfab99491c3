"""Versions of made-up answers for the tests of drift."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from qaemb.identity import text_id
from qaemb.questions import Question
from qaemb.validation import summarise
from qaemb.validation.drift import Origin, Reference, Version


def version(
    margin: np.ndarray,
    mass: np.ndarray | None = None,
    texts: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
    asked: Sequence[str] | None = None,
    **origin: object,
) -> Version:
    """Return answers (texts, questions) as a version; by default text i is `text i`, question j `qj`, mass .9.

    `asked` is what the questions are about, by default their names.
    """
    margin = np.asarray(margin, dtype=np.float32)
    texts = texts if texts is not None else [f"text {number}" for number in range(len(margin))]
    names = names if names is not None else [f"q{number}" for number in range(margin.shape[1])]
    ids = [text_id(text) for text in texts]
    masses = np.full(margin.shape, 0.9, dtype=np.float32) if mass is None else np.asarray(mass, dtype=np.float32)
    tables = [pd.DataFrame(values, columns=list(names)) for values in (margin, masses)]
    for table in tables:
        table.insert(0, "segment_id", ids)
    plain = {"dataset": "d", "job": "j", "answerer": "a", "key": "k", "segmentation": "s", "question_set": "core"}
    digests = {"answers_sha256": "1", "mass_sha256": "2"}
    about = Origin(**{**plain, **digests, "n_segments": len(margin), **origin})
    questions = [Question(name, f"Is it about {what}?") for name, what in zip(names, asked or names, strict=True)]
    return Version(about, questions, *tables, dict(zip(ids, texts, strict=True)))


def reference(of: Version, name: str = "r") -> Reference:
    """Return a version, whole, as a reference."""
    return Reference(name, "2026-01-02T03:04:05+00:00", of, summarise(of.margin, of.mass, low_mass=0.1))
