"""Answering a plan block by block: each block is published as soon as it is answered."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from qaemb.answers.answerer import Answerer, Answers
from qaemb.answers.plan import Plan, Wanted, inputs
from qaemb.answers.store import Store
from qaemb.errors import StoreError


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


def run_plan(answerer: Answerer, store: Store, wanted: Wanted, plan: Plan, name: str) -> RunStats:
    """Answer and publish the plan's blocks, and return what was done; `name` labels the progress bar.

    A block that another process has published meanwhile is skipped. If this process dies, the published blocks stay
    and the one in flight is lost; the next plan holds only the rest.
    """
    cells = tokens = 0
    start = time.perf_counter()
    with tqdm(total=plan.n_missing, desc=f"answers {name}", unit="cell", disable=not plan.blocks) as bar:
        for block in plan.blocks:
            ids = ([wanted.segment_ids[row] for row in block.rows], [wanted.question_ids[col] for col in block.columns])
            if store.has(*ids):
                bar.update(block.n_cells)
                continue
            asked = inputs(wanted, block)
            tokens += answerer.cost(*asked).tokens
            store.put(*ids, answerer.answer(*asked, progress=lambda n_cells: _advance(bar, n_cells)))
            cells += block.n_cells
    return RunStats(cells, tokens, time.perf_counter() - start)


def _advance(bar: tqdm[Any], n_cells: int) -> None:
    bar.update(n_cells)


def read_all(store: Store, wanted: Wanted, asked: NDArray[np.bool_] | None = None) -> Answers:
    """Return the wanted cells from the store alone; StoreError if one is missing.

    Of a mask `asked` (texts, questions), only its cells must be there; the others are NaN where the store lacks them.
    """
    found = store.read(wanted.segment_ids, wanted.question_ids)
    missing = np.isnan(found.margin)
    n_missing = int((missing if asked is None else missing & asked).sum())
    if n_missing:
        raise StoreError(f"{n_missing} cells are not in {store.folder}; run `qaemb answers` again")
    return found
