"""Small students with random weights, for tests."""

from pathlib import Path

import numpy as np

from qaemb.answers.students import Conditioned, Heads, KnownQuestion, Layer, Reader, Student, Trust, write_student
from qaemb.models.encoder import Encoder

TAUGHT = ("Does the text mention food?", "Is an animal named?")


def random_student(
    folder: Path, *, kinds: tuple[str, ...] = ("heads", "conditioned"), contexts=(False, True), units=None, **changes
) -> Student:
    """Return a student on the encoder in `folder` that knows TAUGHT, the first of them trusted."""
    encoder = Encoder(folder)
    readers = tuple(random_reader(encoder, context, kinds, units) for context in contexts)
    figures = {"auc": 0.8, "auc_low": 0.7, "auc_high": 0.9, "agreement": 0.9, "ece": 0.02, "yes_rate": 0.1}
    questions = tuple(KnownQuestion(text=text, trusted=text == TAUGHT[0], **figures) for text in TAUGHT)
    info = encoder.info
    own = {
        "name": "random",
        "encoder": {"name": info.name, "package": None, "version": None, "digest": info.digest},
        "questions": questions if "heads" in kinds else (),
        "readers": readers,
        "trust": Trust(0.6, 0.99),
        "about": {"teacher": "chance"},
    }
    return Student(**own | changes)


def random_reader(encoder: Encoder, context: bool, kinds: tuple[str, ...], units: int | None = None) -> Reader:
    rng = np.random.default_rng(int(context))
    parts, d = (3 if context else 1), encoder.width
    width = parts * d

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    hidden = Layer(normal(width, units), normal(units)) if units else None
    heads = Heads(normal(units or width, len(TAUGHT)), normal(len(TAUGHT)), hidden)
    anchors = encoder.embed(list(TAUGHT))
    conditioned = Conditioned(normal(width), normal(width, len(TAUGHT)), anchors, normal(parts), 0.7, 1.3, -0.4)
    return Reader(context, heads if "heads" in kinds else None, conditioned if "conditioned" in kinds else None)


def saved(student: Student, folder: Path) -> Path:
    write_student(student, folder, "# a card\n")
    return folder
