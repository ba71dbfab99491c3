"""The texts and questions of the benchmarks, and how they are dealt out to cases and rounds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from benchmarks.answers.cases import LONG, SHORT, Asked, Case
from qaemb.errors import BadInput
from qaemb.files import read_table
from qaemb.questions import load_set
from qaemb.workspace import Workspace

N_QUESTIONS = 300
_SEED = 0
_SEGMENTATION, _SET = "words10", "full"

_EXTRA = "Does the text mention a {}?"
_NOUNS = """
balloon basket bicycle blanket bottle bucket candle carpet cheque chimney compass curtain drum fence flag guitar hammer
harbour helmet kite ladder lantern magnet mirror needle passport pillow puddle ribbon saddle scarf statue telescope
tunnel violin wallet whistle zip
"""


def load_dealer(workspace: Workspace) -> tuple[Dealer, dict[str, int]]:
    """Return a dealer of the workspace's texts and of 300 questions, and how many of these come from where."""
    segments = read_table(workspace.segments(_SEGMENTATION) / "segments.parquet")["text"]
    words = read_table(workspace.dataset / "words.parquet").sort_values(["story", "index"])
    stories = [story["word"].tolist() for _, story in words.groupby("story", sort=True)]
    bank = [question.text for question in load_set(workspace.questions, _SET)]
    dealer = Dealer({SHORT: short_texts(segments), LONG: long_texts(stories)}, questions_of(bank, N_QUESTIONS))
    return dealer, {f"set {_SET}": len(bank), "from a template": max(0, N_QUESTIONS - len(bank))}


class Dealer:
    """Deals texts and questions so that no round of any case repeats a text of another: nothing is in a cache yet."""

    def __init__(self, texts: dict[int, Sequence[str]], questions: Sequence[str]) -> None:
        random = np.random.default_rng(_SEED)
        self._texts = {words: [pool[i] for i in random.permutation(len(pool))] for words, pool in texts.items()}
        self._questions = [questions[i] for i in random.permutation(len(questions))]

    def sample(self, case: Case, n_texts: int, n_questions: int) -> Asked:
        """Return cells for warming up and for finding batch sizes; its questions are the last of all."""
        return Asked(case.prompt, case.words, self._take(case.words, n_texts), tuple(self._questions[-n_questions:]))

    def round(self, case: Case, number: int) -> Asked:
        """Return a round's cells; rounds ask different questions while there are enough."""
        start = number * case.n_questions % len(self._questions)
        if start + case.n_questions > len(self._questions):
            start = 0
        questions = self._questions[start : start + case.n_questions]
        if len(questions) < case.n_questions:
            raise BadInput(f"case {case.name} needs {case.n_questions} questions; there are {len(questions)}")
        return Asked(case.prompt, case.words, self._take(case.words, max(case.n_texts.values())), tuple(questions))

    def _take(self, words: int, count: int) -> tuple[str, ...]:
        pool = self._texts[words]
        if len(pool) < count:
            raise BadInput(
                f"there are not enough texts of {words} words: {count} wanted, {len(pool)} left; fewer rounds"
            )
        taken, self._texts[words] = pool[:count], pool[count:]
        return tuple(taken)


def short_texts(segments: Iterable[str]) -> list[str]:
    """Return the segments of exactly eleven words."""
    return [text for text in segments if len(text.split()) == SHORT]


def long_texts(stories: Iterable[Sequence[str]]) -> list[str]:
    """Return stretches of 200 words that do not overlap, from stories given as words; a story's rest is left out."""
    return [
        " ".join(words[start : start + LONG]) for words in stories for start in range(0, len(words) - LONG + 1, LONG)
    ]


def questions_of(bank: Sequence[str], count: int) -> list[str]:
    """Return the bank's questions, and after them questions from a template up to `count`; BadInput if it ends."""
    known = set(bank)
    extra = [question for question in map(_EXTRA.format, _NOUNS.split()) if question not in known]
    if len(bank) + len(extra) < count:
        raise BadInput(f"the bank has {len(bank)} questions and the template {len(extra)}; {count} are wanted")
    return [*bank, *extra][: max(count, len(bank))]
