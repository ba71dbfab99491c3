"""What is asked: the cases, and what one call is given."""

from __future__ import annotations

from dataclasses import dataclass

SHORT, LONG = 11, 200  # words in a text: a `words10` segment, and a page


@dataclass(frozen=True)
class Case:
    """One kind of work: a prompt, texts of `words` words, `n_questions`, and texts per round of each contestant.

    A slow contestant gets the first few of a round's texts; one that is not named does not take part.
    """

    name: str
    prompt: str
    words: int
    n_questions: int
    n_texts: dict[str, int]


@dataclass(frozen=True)
class Asked:
    """Texts and questions for one call, with the prompt's name and the length of the texts in words."""

    prompt: str
    words: int
    texts: tuple[str, ...]
    questions: tuple[str, ...]

    @property
    def n_cells(self) -> int:
        """The number of cells."""
        return len(self.texts) * len(self.questions)

    def first(self, n_texts: int) -> Asked:
        """Return the same with the first texts alone."""
        return Asked(self.prompt, self.words, self.texts[:n_texts], self.questions)


def _entries(shared: int, **others: int) -> dict[str, int]:
    return {"floor": shared, "shared": shared, "floor_bf16": shared, "shared_bf16": shared, **others}


FULL = (
    Case("short_30_text_first", "text_first", SHORT, 30, _entries(8, left_padded=6, imodelsx=6, vllm=8, reference=1)),
    Case("short_300_text_first", "text_first", SHORT, 300, _entries(3, left_padded=1, imodelsx=1, vllm=1)),
    Case("long_30_text_first", "text_first", LONG, 30, _entries(3, left_padded=1, imodelsx=1, vllm=3)),
    Case("long_300_text_first", "text_first", LONG, 300, _entries(1, vllm=1)),
    Case("short_30_question_first", "question_first", SHORT, 30, _entries(8, vllm=8)),
    Case("short_30_few_shot", "few_shot", SHORT, 30, _entries(6, left_padded=1, vllm=6)),
    Case("short_300_few_shot", "few_shot", SHORT, 300, _entries(2, vllm=1)),
)
"""All cases of `make bench-answers`; those of one prompt stand together, as a change of prompt loads models anew."""

QUICK = (
    Case("short_30_text_first", "text_first", SHORT, 30, _entries(2, left_padded=1, imodelsx=1, vllm=1, reference=1)),
    Case("short_300_text_first", "text_first", SHORT, 300, _entries(1)),
    Case("short_30_few_shot", "few_shot", SHORT, 30, _entries(1, vllm=1)),
)
"""A smoke run: too few cells to say anything about speed."""


@dataclass(frozen=True)
class Effort:
    """Rounds of each case, and the largest sample with which contestants get ready: texts and questions."""

    n_rounds: int
    sample_texts: int
    sample_questions: int

    def sample_for(self, case: Case) -> tuple[int, int]:
        """Return texts and questions of a case's sample: few where a prompt has hundreds of tokens."""
        if case.words == LONG or case.prompt == "few_shot":
            return 1, min(self.sample_questions, 10)
        return self.sample_texts, self.sample_questions


FULL_EFFORT, QUICK_EFFORT = Effort(3, 3, 30), Effort(1, 1, 5)
