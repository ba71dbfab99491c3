"""From texts to a student's vectors: words before, segment, words after, side by side, or the text alone.

The reference questions are a fixed list; a text's mean similarity to them is taken away from its similarities.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.resources import files

import numpy as np
import yaml
from numpy.typing import NDArray

from qaemb.models.encoder import Encoder
from qaemb.stimuli.marks import Parts, split_marked

Vectors = NDArray[np.float32]
Embed = Callable[[Sequence[str]], Vectors]
"""Returns the encoder's vectors (texts, d) of texts that are not blank."""


def is_marked(text: str) -> bool:
    """Return whether the segment stands in double square brackets inside its context.

    >>> is_marked("so we [[ate]] there"), is_marked("so we ate there")
    (True, False)
    """
    return split_marked(text).focus != text.strip()


def pieces(text: str, context: bool) -> tuple[str, ...]:
    """Return what of a text is embedded: before, segment, after (any may be empty), or all its words without marks.

    >>> pieces("so we [[ate]] there", True), pieces("so we [[ate]] there", False)
    (('so we', 'ate', 'there'), ('so we ate there',))
    """
    parts: Parts = split_marked(text)
    three = parts.before, parts.focus, parts.after
    return three if context else (" ".join(piece for piece in three if piece),)


def text_vectors(texts: Sequence[str], context: bool, embed: Embed, width: int) -> Vectors:
    """Return float32 (texts, width) vectors, or with context (texts, 3 width); a piece without words is zeros.

    What several texts share, such as the TR that is after one segment and before another, is embedded once.
    """
    rows = [pieces(text, context) for text in texts]
    distinct = list(dict.fromkeys(piece for row in rows for piece in row if piece))
    number = {piece: place for place, piece in enumerate(distinct)}
    embedded = embed(distinct) if distinct else np.empty((0, width), np.float32)
    table = np.vstack([embedded, np.zeros((1, width), np.float32)])  # the last row stands for no words
    places = np.array([[number.get(piece, len(distinct)) for piece in row] for row in rows])
    return table[places].reshape(len(texts), -1)


def reference_questions() -> list[str]:
    """Return the fixed questions whose mean similarity is taken away from every text's similarities."""
    text = files("qaemb.answers").joinpath("reference_questions.yaml").read_text(encoding="utf-8")
    return [str(question) for question in yaml.safe_load(text)]


def reference_vector(encoder: Encoder) -> NDArray[np.float32]:
    """Return the mean vector (d,) of the reference questions."""
    return encoder.embed(reference_questions()).mean(axis=0, dtype=np.float64).astype(np.float32)
