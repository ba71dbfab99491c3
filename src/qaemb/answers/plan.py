"""A grid of texts and questions, the blocks of it that remain to be answered, and what they cost."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from qaemb.answers.answerer import Answerer
from qaemb.errors import BadInput
from qaemb.identity import text_id

_SAMPLE_TEXTS, _SAMPLE_QUESTIONS = 16, 8
_SAMPLE_BLOCKS = 32
_DEARER = 3.0  # times the tokens; below that, what large blocks save (calls, small batches, files) is worth more


@dataclass(frozen=True)
class Wanted:
    """The grid that is asked for: ids and texts of segments (rows) and of questions (columns), ids unique."""

    segment_ids: Sequence[str]
    texts: Sequence[str]
    question_ids: Sequence[str]
    questions: Sequence[str]

    @staticmethod
    def of(texts: Sequence[str], questions: Sequence[str]) -> Wanted:
        """Return the grid of some texts and questions, each of which stands once; their ids are made here."""
        return Wanted([text_id(text) for text in texts], texts, [text_id(text) for text in questions], questions)

    def inputs(self, block: Block) -> tuple[list[str], list[str]]:
        """Return the texts and questions of a block."""
        return block_inputs(self.texts, self.questions, block)

    def ids(self, block: Block) -> tuple[list[str], list[str]]:
        """Return the segment ids and question ids of a block."""
        return block_inputs(self.segment_ids, self.question_ids, block)

    def check(self) -> None:
        """BadInput names an id that stands twice or that is not the hash of its text."""
        for kind, ids, texts in (
            ("segment", self.segment_ids, self.texts),
            ("question", self.question_ids, self.questions),
        ):
            seen: set[str] = set()
            for number, (name, text) in enumerate(zip(ids, texts, strict=True)):
                if name in seen:
                    raise BadInput(f"{kind} {name} stands twice, again at number {number}; remove one")
                if not isinstance(text, str) or text_id(text) != name:
                    raise BadInput(f"{kind} {name} (number {number}) is not the hash of its text; make its table again")
                seen.add(name)


@dataclass(frozen=True)
class Block:
    """Rows and columns of the wanted grid that are answered and published together."""

    rows: tuple[int, ...]
    columns: tuple[int, ...]

    @property
    def n_cells(self) -> int:
        """The number of cells."""
        return len(self.rows) * len(self.columns)


@dataclass(frozen=True)
class Plan:
    """What remains to be done. `seconds` is None where no speed was measured, `usd` where nothing is billed."""

    n_wanted: int
    blocks: tuple[Block, ...]
    tokens: int
    seconds: float | None = None
    usd: float | None = None

    @property
    def n_missing(self) -> int:
        """Cells to answer."""
        return sum(block.n_cells for block in self.blocks)

    def describe(self) -> str:
        """Return one line for the user: cells wanted, in the store, to answer, tokens, time."""
        n_stored = self.n_wanted - self.n_missing
        line = f"{self.n_wanted:,} cells wanted, {n_stored:,} in the store, {self.n_missing:,} to answer"
        if self.n_missing:
            duration = "unknown" if self.seconds is None else f"about {_duration(self.seconds)}"
            line += f" in {len(self.blocks)} blocks, {self.tokens:,} tokens, time {duration}"
            if self.usd is not None:
                line += f", about {self.usd:,.2f} USD"
        return line


def _make_blocks(missing: NDArray[np.bool_], block_texts: int) -> Iterator[Block]:
    """Yield blocks that cover the missing cells (texts, questions) exactly once.

    Texts that miss the same questions go together, in their order, at most `block_texts` at a time. So the questions of
    a text stay together, which engines that share prefixes answer with fewer tokens than blocks of one question. Where
    each text misses a question of its own, every block is one cell: no larger rectangle is free of cells not asked for.
    """
    for rows, columns in _alike(missing):
        for start in range(0, len(rows), block_texts):
            yield Block(rows[start : start + block_texts], columns)


def _question_blocks(missing: NDArray[np.bool_], block_texts: int) -> Iterator[Block]:
    """Yield blocks that cover the missing cells exactly once, questions that the same texts miss together.

    Far fewer than `_make_blocks` yields where nearly every text misses questions of its own, as those that a cascade's
    student is not sure of.
    """
    for columns, rows in _alike(missing.T):
        for start in range(0, len(rows), block_texts):
            yield Block(rows[start : start + block_texts], columns)


def _alike(missing: NDArray[np.bool_]) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Yield the rows that miss the same columns, and these, in the order of their first row."""
    rows_by_pattern: dict[bytes, list[int]] = {}
    for row, pattern in enumerate(missing):
        rows_by_pattern.setdefault(pattern.tobytes(), []).append(row)
    for key, rows in rows_by_pattern.items():
        columns = tuple(np.flatnonzero(np.frombuffer(key, bool)).tolist())
        if columns:
            yield tuple(rows), columns


def cover(
    answerer: Answerer, texts: Sequence[str], questions: Sequence[str], missing: NDArray[np.bool_], block_texts: int
) -> tuple[Block, ...]:
    """Return the blocks in which an answerer is asked the missing cells (texts, questions), each once.

    By texts, or by questions where that makes fewer blocks, unless it takes clearly more tokens: long texts that an
    engine would read once for all questions of a text, and now reads for each.
    """
    by_text, by_question = (tuple(make(missing, block_texts)) for make in (_make_blocks, _question_blocks))
    if len(by_question) >= len(by_text):
        return by_text
    dear, cheap = (_tokens_per_cell(answerer, texts, questions, blocks) for blocks in (by_question, by_text))
    return by_text if dear > _DEARER * cheap else by_question


def _tokens_per_cell(
    answerer: Answerer, texts: Sequence[str], questions: Sequence[str], blocks: Sequence[Block]
) -> float:
    """Return the tokens a cell takes in some of the blocks."""
    sample = blocks[:: max(1, len(blocks) // _SAMPLE_BLOCKS)]
    tokens = sum(answerer.cost(*block_inputs(texts, questions, block)).tokens for block in sample)
    return tokens / sum(block.n_cells for block in sample)


def make_plan(answerer: Answerer, grid: Wanted, missing: NDArray[np.bool_], block_texts: int) -> Plan:
    """Return the plan that answers the missing cells (texts, questions), without a time."""
    blocks = cover(answerer, grid.texts, grid.questions, missing, block_texts)
    rows: dict[tuple[int, ...], list[int]] = {}
    for block in blocks:  # what several blocks ask is counted once
        rows.setdefault(block.columns, []).extend(block.rows)
    whole = (Block(tuple(numbers), columns) for columns, numbers in rows.items())
    costs = [answerer.cost(*grid.inputs(block)) for block in whole]
    usd = sum(cost.usd for cost in costs if cost.usd is not None)
    billed = any(cost.usd is not None for cost in costs)
    return Plan(missing.size, blocks, sum(cost.tokens for cost in costs), usd=usd if billed else None)


def block_inputs(texts: Sequence[str], questions: Sequence[str], block: Block) -> tuple[list[str], list[str]]:
    """Return texts and questions of a block of a grid of these."""
    return [texts[row] for row in block.rows], [questions[column] for column in block.columns]


def timed(answerer: Answerer, grid: Wanted, plan: Plan) -> Plan:
    """Return the plan with a time: a few of its cells are answered to measure the speed here and now, and thrown away.

    One cell is answered first, as it takes the loading of the model. Where answers are billed nothing is thrown away:
    the plan stays without a time. Where nothing goes through a model (published answers), the time is 0.
    """
    if not plan.blocks or not plan.tokens:
        return replace(plan, seconds=0.0)
    if plan.usd is not None:
        return plan
    texts, questions = grid.inputs(max(plan.blocks, key=lambda block: block.n_cells))
    answerer.answer(texts[:1], questions[:1])
    step = max(1, len(texts) // _SAMPLE_TEXTS)
    sample = texts[::step][:_SAMPLE_TEXTS], questions[:_SAMPLE_QUESTIONS]
    tokens = answerer.cost(*sample).tokens
    start = time.perf_counter()
    answerer.answer(*sample)
    return replace(plan, seconds=plan.tokens * (time.perf_counter() - start) / tokens)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"
