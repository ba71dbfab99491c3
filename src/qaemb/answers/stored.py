"""An answerer together with its cells in the store: missing cells are planned and answered, the others are read.

An ensemble and a cascade store no cells. Theirs are computed from those of their members, each in its member's own
folder of the store, so that no token goes through a model twice.

A cascade's members answer in turn: what its teacher is asked depends on the student's answers. A teacher's cell that is
in the store does not replace one of which the student is sure: a cell depends on its text and question, not on what was
bought.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qaemb.answers.answerer import Answerer, Answers, Mask
from qaemb.answers.blocks import Provenance
from qaemb.answers.cascade import saved_text
from qaemb.answers.plan import Plan, Wanted, make_plan, timed
from qaemb.answers.run import RunStats, run_plan
from qaemb.answers.store import Cells, Store
from qaemb.errors import StoreError

WORTH_TIMING = 1000  # cells; fewer are answered before a measured time would help

Plans = dict[str, Plan]
"""What remains to be done, by the name of the answerer that stores the cells."""
Runner = Callable[["Stored", Wanted, Plan, str], RunStats]
"""Answers and publishes a plan's blocks of an answerer; the text is the label of the progress bar."""


@dataclass(frozen=True)
class Stored:
    """The answerer `name` of answers.spec over the store under `root`.

    `runner` answers and publishes its plans; None: this process. A block of the store is read and checked once, as long
    as the methods are called with one and the same `grid`.
    """

    name: str
    answerer: Answerer
    root: Path | str
    runner: Runner | None = None
    _last: list[tuple[Wanted, Cells]] = field(default_factory=list, init=False, repr=False, compare=False)

    @cached_property
    def members(self) -> tuple[Stored, ...]:
        """The answerers from whose cells its own are computed; none where it stores cells itself."""
        answerers = getattr(self.answerer, "members", {})  # a user's own answerer need not have any
        return tuple(Stored(name, member, self.root, self.runner) for name, member in answerers.items())

    @property
    def storing(self) -> tuple[Stored, ...]:
        """Those that store cells: its members, or where it has none itself."""
        return self.members or (self,)

    @cached_property
    def store(self) -> Store:
        """This answerer's own folder; that of an answerer with members stays empty."""
        return Store(self.root, self.answerer.key)

    def get(self, grid: Wanted, block_texts: int, title: str | None = None, mask: Mask | None = None) -> Answers:
        """Return the wanted cells; what the store lacks is answered first, after a line about it with `title`."""
        plans = self.plan(grid, block_texts, mask)
        if title is not None:
            print(self.describe(title, plans), flush=True)
        self.run(grid, plans, self.name)
        return self.read(grid, mask)

    def plan(self, grid: Wanted, block_texts: int, mask: Mask | None = None, timed_from: int = WORTH_TIMING) -> Plans:
        """Return the plan that answers what the store lacks of the wanted cells; one for each member if there are any.

        `mask` (texts, questions) says which cells are grid, None: all. A plan of `timed_from` or more cells gets a
        time, for which a few cells are answered. Of members in turn, all but the last answer now, as the plans of the
        following ones depend on their answers.
        """
        if not self.members:
            missing = self._cells(grid).missing
            n_wanted = missing.size if mask is None else int(mask.sum())
            plan = make_plan(self.answerer, grid, missing if mask is None else missing & mask, block_texts)
            plan = replace(plan, n_wanted=n_wanted)
            return {self.name: timed(self.answerer, grid, plan) if plan.n_missing >= timed_from else plan}
        plans: Plans = {}
        for member, part in self._parts(grid, mask):
            if self.answerer.in_turn and member is not self.members[-1]:
                now = member.plan(grid, block_texts, part, timed_from=sys.maxsize)
                member.run(grid, now, f"{self.name}, {member.name}")
            plans |= member.plan(grid, block_texts, part, timed_from)
        return plans

    def describe(self, title: str, plans: Plans) -> str:
        """Return a line for the user for each plan, after `title`; those of members name the member.

        They begin with the answerer's claim, if it makes one, and with how many calls of its last member it saves.
        """
        if not self.members:
            return f"{title}: {plans[self.name].describe()}"
        lines = [f"{title}, {name}: {plan.describe()}" for name, plan in plans.items()]
        if self.answerer.claim:
            n_cells, n_calls = (plans[member.name].n_wanted for member in (self.members[0], self.members[-1]))
            lines.insert(0, f"{title}: {self.answerer.claim}; {saved_text(n_cells, n_cells - n_calls)}")
        return "\n".join(lines)

    def run(self, grid: Wanted, plans: Plans, label: str) -> RunStats:
        """Answer and publish the plans' blocks, and return what was done; `label` stands before the progress bar.

        The stats are sums over members, which answer one after the other. Of members in turn only the last one has
        something left to do: the others answered when they were planned.
        """
        if self.members:
            done = [member.run(grid, plans, f"{label}, {member.name}") for member in self.members]
            return RunStats(
                cells=sum(stats.cells for stats in done),
                tokens=sum(stats.tokens for stats in done),
                seconds=sum(stats.seconds for stats in done),
            )
        if self.runner:
            return self.runner(self, grid, plans[self.name], label)
        return run_plan(self.answerer, self.store, grid, plans[self.name], label)

    def known(self, grid: Wanted) -> Mask:
        """Return which of the wanted cells (texts, questions) can be read: all that they are made of is stored."""
        if not self.members:
            return self.store.known(grid.segment_ids, grid.question_ids)
        known = np.ones((len(grid.texts), len(grid.questions)), np.bool_)
        for member, part in self._parts(grid, None, complete=False):
            known &= member.known(grid) if part is None else member.known(grid) | ~part
        return known

    def read(self, grid: Wanted, mask: Mask | None = None) -> Answers:
        """Return the wanted cells from the store alone; StoreError if one is missing.

        Of a `mask` (texts, questions), only its cells must be there; others are NaN where the store lacks them.
        """
        if self.members:
            cells = [member.read(grid, part) for member, part in self._parts(grid, mask)]
            return self.answerer.combine(cells, grid.questions)
        found = self._cells(grid)
        n_missing = int((found.missing if mask is None else found.missing & mask).sum())
        if n_missing:
            raise StoreError(f"{n_missing} cells are not in {self.store.address}; run `qaemb answers` again")
        return found.answers

    def answered(self, grid: Wanted, mask: Mask | None = None) -> NDArray[np.datetime64]:
        """Return when each text's row was complete, as in `Cells.answered`; with members, when the last of them was."""
        if not self.members:
            return self._cells(grid).answered(mask)
        return np.maximum.reduce([member.answered(grid, part) for member, part in self._parts(grid, mask)])

    def sources(self, grid: Wanted) -> tuple[NDArray[np.int32], list[tuple[str, Provenance | None]]]:
        """Return for each cell its block's place in a list (-1: none), and that list: names and provenances."""
        cells = self._cells(grid)
        return cells.number, cells.blocks

    def figures(self, grid: Wanted) -> dict[str, float]:
        """Return what the engine measured and, of members in turn, the calls saved on the wanted cells."""
        if not self.members or not self.answerer.in_turn:
            return self.answerer.figures
        *_, (_, part) = self._parts(grid, None)
        assert part is not None
        return self.answerer.figures | self.answerer.savings(part.size, part.size - int(part.sum()))

    def _cells(self, grid: Wanted) -> Cells:
        """Return what the store has of a grid by now; a block is not read again for the same `grid`."""
        before = self._last[0][1] if self._last and self._last[0][0] is grid else None
        cells = self.store.cells(grid.segment_ids, grid.question_ids, before)
        self._last[:] = [(grid, cells)]
        return cells

    def _parts(self, grid: Wanted, mask: Mask | None, complete: bool = True) -> Iterator[tuple[Stored, Mask | None]]:
        """Yield each member and the cells that are wanted of it, None: all. In turn: those that are open by then.

        `complete`: StoreError where a grid cell is missing that decides what is open; else it counts as open.
        """
        cells: list[Answers] = []
        for member in self.members:
            part = mask
            if cells:
                open_cells = self.answerer.open_cells(cells, grid.questions)
                part = open_cells if mask is None else open_cells & mask
            yield member, part
            if self.answerer.in_turn and member is not self.members[-1]:
                cells.append(member.read(grid, part) if complete else member._cells(grid).answers)
