"""Answering a plan block by block: each block is published as soon as it is answered.

Processes that work on one plan begin at blocks drawn at random and go round, each passing over what others have
published: so they seldom answer a block twice, and need no lock that a dead process could hold.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tqdm import tqdm

from qaemb.answers.answerer import Answerer
from qaemb.answers.blocks import block_name, provenance_now
from qaemb.answers.plan import Block, Plan, Wanted
from qaemb.answers.store import Store
from qaemb.models.inputs import Progress

_LISTING_SHARE = 0.1


@dataclass(frozen=True)
class RunStats:
    """What one run did: cells answered, tokens through the model, seconds (loading the model included)."""

    cells: int
    tokens: int
    seconds: float

    @property
    def cells_per_s(self) -> float:
        """Cells per second; 0 if none was answered."""
        return self.cells / self.seconds if self.cells else 0.0


def run_plan(answerer: Answerer, store: Store, grid: Wanted, plan: Plan, label: str) -> RunStats:
    """Answer and publish the plan's blocks, and return what was done; `label` stands at the progress bar.

    A block that another process has published meanwhile is skipped. If this process dies, the published blocks stay
    and the one in flight is lost; the next plan holds only the rest.
    """
    cells = tokens = 0
    start = time.perf_counter()
    if plan.blocks:
        store.describe(answerer.spec)
    present = Present(store)
    with tqdm(total=plan.n_missing, desc=f"answers {label}", unit="cell", disable=not plan.blocks) as bar:
        for block in from_anywhere(plan.blocks):
            if block_name(*grid.ids(block)) in present.now():
                bar.update(block.n_cells)
                continue
            tokens += answer_block(answerer, store, grid, block, bar.update)
            cells += block.n_cells
    return RunStats(cells, tokens, time.perf_counter() - start)


def answer_block(answerer: Answerer, store: Store, grid: Wanted, block: Block, progress: Progress | None = None) -> int:
    """Answer and publish a block, and return the tokens that it took."""
    inputs = grid.inputs(block)
    tokens = answerer.cost(*inputs).tokens  # before: what an engine keeps, such as a question's vector, costs once
    answers = answerer.answer(*inputs, progress=progress)
    made = provenance_now(answerer.engine_name, getattr(answerer, "source", None))  # engine `published` has a source
    store.put(*grid.ids(block), answers, made)
    return tokens


def from_anywhere(blocks: Sequence[Block]) -> Iterator[Block]:
    """Yield the blocks, beginning at one drawn at random and going round."""
    first = random.randrange(len(blocks)) if blocks else 0
    yield from blocks[first:]
    yield from blocks[:first]


class Present:
    """What a store has, listed anew so often that listing takes a tenth of the time at most."""

    def __init__(self, store: Store) -> None:
        self._store, self._next = store, -math.inf
        self._names: set[str] = set()

    def now(self) -> set[str]:
        """Return names as `block_name` makes them."""
        begin = time.monotonic()
        if begin >= self._next:
            self._names, end = self._store.present(), time.monotonic()
            self._next = end + (end - begin) / _LISTING_SHARE
        return self._names
