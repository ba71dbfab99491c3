"""What runs in the workers of a Ray cluster: one answerer each, which answers blocks and publishes them itself.

Only counts and messages travel back. A block that the store has is passed over, so that Ray may run a task again.
"""

from __future__ import annotations

import os
import platform
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypedDict

from qaemb.answers.answerer import Answerer
from qaemb.answers.blocks import block_name
from qaemb.answers.plan import Block, Wanted
from qaemb.answers.run import Present, answer_block, block_ids
from qaemb.answers.store import Store
from qaemb.errors import BadInput, QaembError

MAX_ATTEMPTS = 3  # at a block whose worker dies each time, in one round

OpenAnswerer = Callable[[str], Answerer]
"""Returns the answerer of a name, on any machine of the cluster: it is pickled."""


@dataclass(frozen=True)
class RayTask:
    """What every worker gets once: who answers (and the key that it must have there), what, and where it is kept.

    Relative paths in the answerer's settings begin in `folder`, on nodes that have it.
    """

    open_answerer: OpenAnswerer
    name: str
    root: Path | str
    key: str
    wanted: Wanted
    blocks: tuple[Block, ...]
    folder: Path


class Done(TypedDict):
    """What a worker says of a block: cells and tokens that it took, or the class and message of a qaemb error."""

    block: int
    cells: int
    tokens: int
    error: str
    message: str


class Attempts:
    """Counts how often each block was begun: an actor of its own, as those that begin may die of it."""

    def __init__(self) -> None:
        self._begun: Counter[int] = Counter()
        self._stopped = False

    def begin(self, block: int) -> bool:
        """Return whether a block may be begun: not too often yet, and nothing went wrong elsewhere."""
        self._begun[block] += 1
        return not self._stopped and self._begun[block] <= MAX_ATTEMPTS

    def stop(self) -> None:
        """Let no further block begin."""
        self._stopped = True


class BlockWorker:
    """Answers and publishes blocks of a task, a reference into Ray's object store; `attempts`: an actor `Attempts`."""

    def __init__(self, task: Any, attempts: Any) -> None:
        import ray

        self._begin = lambda number: ray.get(attempts.begin.remote(number))
        self._task: RayTask = ray.get(task)
        if self._task.folder.is_dir():
            os.chdir(self._task.folder)
        self._store = Store(self._task.root, self._task.key)
        self._present = Present(self._store)

    def __call__(self, row: dict[str, Any]) -> Done:
        """Return what was done for the block `row["block"]`; a qaemb error is returned, any other raised."""
        number = int(row["block"])
        try:
            cells, tokens = self._publish(number)
        except QaembError as error:
            message = f"{error} (on node {platform.node()})"
            return Done(block=number, cells=0, tokens=0, error=type(error).__name__, message=message)
        return Done(block=number, cells=cells, tokens=tokens, error="", message="")

    @cached_property
    def _answerer(self) -> Answerer:
        answerer = self._task.open_answerer(self._task.name)
        if answerer.key != self._task.key:
            raise BadInput(
                f"answerer `{self._task.name}` has key {answerer.key} here, not {self._task.key}: install the same "
                "qaemb and the same model on every node"
            )
        return answerer

    def _publish(self, number: int) -> tuple[int, int]:
        wanted, block = self._task.wanted, self._task.blocks[number]
        if block_name(*block_ids(wanted, block)) in self._present.now():
            return 0, 0
        if not self._begin(number):
            return 0, 0  # the driver finds that it is lacking
        return block.n_cells, answer_block(self._answerer, self._store, wanted, block)
