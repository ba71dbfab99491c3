"""An answerer together with its cells in the store: what is lacking is planned and answered, the rest is read.

An ensemble keeps no cell of its own, nor does a cascade. Their cells are computed from those of their members, each in
its member's own folder of the store, so that no token goes through a model twice.

A cascade's student answers first, as what its teacher is asked depends on it. A teacher's cell that is in the store
does not replace one of which the student is sure: a cell depends on its text and question, not on what was bought.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qaemb.answers.answerer import Answerer, Answers
from qaemb.answers.cascade import CascadeAnswerer, merge, saved_text
from qaemb.answers.engines.causal import CausalAnswerer
from qaemb.answers.ensemble import EnsembleAnswerer, combine_answers
from qaemb.answers.plan import Plan, Wanted, make_plan, timed
from qaemb.answers.run import RunStats, read_all, run_plan
from qaemb.answers.store import Store

WORTH_TIMING = 1000  # cells; fewer are answered before a measured time would help

Mask = NDArray[np.bool_]
Plans = dict[str, Plan]
"""What remains to be done, by the name of the answerer that keeps the cells."""
Runner = Callable[["Stored", Wanted, Plan, str], RunStats]
"""Answers and publishes a plan's blocks of an answerer; the text is the label of the progress bar."""


def run_here(stored: Stored, wanted: Wanted, plan: Plan, label: str) -> RunStats:
    """Answer and publish a plan's blocks in this process; see `run_plan`."""
    return run_plan(stored.answerer, stored.store, wanted, plan, label)


@dataclass(frozen=True)
class Stored:
    """The answerer `name` of answers.spec over the store under `root`; `runner` answers and publishes its plans."""

    name: str
    answerer: Answerer
    root: Path | str
    runner: Runner = run_here

    @cached_property
    def members(self) -> tuple[Stored, ...]:
        """An ensemble's members in its order, a cascade's student and teacher; none for any other answerer."""
        if isinstance(self.answerer, CascadeAnswerer):
            own = self.answerer
            both = zip(own.names, (own.student, own.teacher), strict=True)
            return tuple(Stored(name, member, self.root, self.runner) for name, member in both)
        if not isinstance(self.answerer, EnsembleAnswerer):
            return ()
        return tuple(Stored(name, member, self.root, self.runner) for name, member in self.answerer.members.items())

    def causal(self) -> dict[str, CausalAnswerer]:
        """Return the answerers with a prompt and a local tokenizer, by name: this one, or those of its members."""
        answerers = {one.name: one.answerer for one in self.members or (self,)}
        return {name: one for name, one in answerers.items() if isinstance(one, CausalAnswerer)}

    @property
    def store(self) -> Store:
        """This answerer's own folder; an ensemble's and a cascade's stay empty."""
        return Store(self.root, self.answerer.key)

    def plan(
        self, wanted: Wanted, block_texts: int, asked: Mask | None = None, timed_from: int = WORTH_TIMING
    ) -> Plans:
        """Return the plan that answers what the store lacks of the wanted cells; an ensemble has one for each member.

        `asked` (texts, questions) says which cells are wanted, None: all. A plan of `timed_from` or more cells gets a
        time, for which a few cells are answered. A cascade's student answers all of its cells now, and its teacher's
        plan is for those of which it is not sure.
        """
        if isinstance(self.answerer, CascadeAnswerer):
            return self._plan_cascade(self.answerer, wanted, block_texts, asked, timed_from)
        if self.members:
            plans = (member.plan(wanted, block_texts, asked, timed_from) for member in self.members)
            return {name: plan for own in plans for name, plan in own.items()}
        missing = ~self.store.known(wanted.segment_ids, wanted.question_ids)
        if asked is not None:
            missing &= asked
        n_wanted = missing.size if asked is None else int(asked.sum())
        plan = replace(make_plan(self.answerer, wanted, missing, block_texts), n_wanted=n_wanted)
        return {self.name: timed(self.answerer, wanted, plan) if plan.n_missing >= timed_from else plan}

    def describe(self, title: str, plans: Plans) -> str:
        """Return a line for the user for each plan, after `title`; those of an ensemble name the member.

        A cascade's begin with what it is, and how many calls of its teacher it saves on the wanted cells.
        """
        if not self.members:
            return f"{title}: {plans[self.name].describe()}"
        lines = [f"{title}, {name}: {plan.describe()}" for name, plan in plans.items()]
        if isinstance(self.answerer, CascadeAnswerer):
            n_cells, n_calls = (plans[member.name].n_wanted for member in self.members)
            lines.insert(0, f"{title}: {self.answerer.claim}; {saved_text(n_cells, n_cells - n_calls)}")
        return "\n".join(lines)

    def run(self, wanted: Wanted, plans: Plans, label: str) -> RunStats:
        """Answer and publish the plans' blocks, and return what was done; `label` stands before the progress bar.

        The stats of an ensemble are sums over its members, which answer one after the other. Those of a cascade are its
        teacher's: its student has answered when it was planned.
        """
        if not self.members:
            return self.runner(self, wanted, plans[self.name], label)
        done = [member.run(wanted, plans, f"{label}, {member.name}") for member in self.members]
        return RunStats(
            cells=sum(stats.cells for stats in done),
            tokens=sum(stats.tokens for stats in done),
            seconds=sum(stats.seconds for stats in done),
        )

    def known(self, wanted: Wanted) -> Mask:
        """Return which of the wanted cells (texts, questions) can be read: all that they are made of is stored."""
        if isinstance(self.answerer, CascadeAnswerer):
            student, teacher = (member.known(wanted) for member in self.members)
            own = self.members[0].store.read(wanted.segment_ids, wanted.question_ids)  # NaN, so unsure, where unknown
            return np.asarray(student & (self.answerer.sure(own, wanted.questions) | teacher), np.bool_)
        if self.members:
            return np.logical_and.reduce([member.known(wanted) for member in self.members])
        return self.store.known(wanted.segment_ids, wanted.question_ids)

    def read(self, wanted: Wanted, asked: Mask | None = None) -> Answers:
        """Return the wanted cells from the store alone; StoreError if one (of `asked`, where given) is missing."""
        if isinstance(self.answerer, CascadeAnswerer):
            return self._read_cascade(self.answerer, wanted, np.True_ if asked is None else asked)
        if isinstance(self.answerer, EnsembleAnswerer):
            return combine_answers([member.read(wanted, asked) for member in self.members], self.answerer.combine)
        return read_all(self.store, wanted, asked)

    def answered(self, wanted: Wanted, asked: Mask | None = None) -> NDArray[np.datetime64]:
        """Return when each text's row was complete, as in `Store.answered`: of an ensemble when its last member's was.

        Of a cascade, the student's cells count, and the teacher's where the student is not sure.
        """
        if isinstance(self.answerer, CascadeAnswerer):
            student, teacher = self.members
            unsure = ~self.answerer.sure(student.read(wanted, asked), wanted.questions)
            mask = unsure if asked is None else unsure & asked
            return np.maximum(student.answered(wanted, asked), teacher.answered(wanted, mask))
        if self.members:
            return np.maximum.reduce([member.answered(wanted, asked) for member in self.members])
        return self.store.answered(wanted.segment_ids, wanted.question_ids, asked)

    def figures(self, wanted: Wanted) -> dict[str, float]:
        """Return what the engine measured; of a cascade also the calls saved on the wanted cells, which are stored."""
        if not isinstance(self.answerer, CascadeAnswerer):
            return self.answerer.figures
        sure = self.answerer.sure(self.members[0].read(wanted), wanted.questions)
        return self.answerer.figures | self.answerer.savings(sure.size, int(sure.sum()))

    def _plan_cascade(
        self, cascade: CascadeAnswerer, wanted: Wanted, block_texts: int, asked: Mask | None, timed_from: int
    ) -> Plans:
        """Let the student answer, and return the plans of both: nothing is left of the student's."""
        student, teacher = self.members
        now = student.plan(wanted, block_texts, asked, timed_from=sys.maxsize)
        student.run(wanted, now, f"{self.name}, {student.name}")
        unsure = ~cascade.sure(student.read(wanted, asked), wanted.questions)
        if asked is not None:
            unsure &= asked
        plans = [own.plan(wanted, block_texts, mask, timed_from) for own, mask in ((student, asked), (teacher, unsure))]
        return plans[0] | plans[1]

    def _read_cascade(self, cascade: CascadeAnswerer, wanted: Wanted, asked: Mask | np.bool_) -> Answers:
        """Return the asked cells, the others NaN: whose they are is not known before the student has answered them."""
        student, teacher = self.members
        mask = np.broadcast_to(asked, (len(wanted.texts), len(wanted.questions)))
        own = student.read(wanted, mask)
        sure = cascade.sure(own, wanted.questions)
        found = merge(own, teacher.read(wanted, ~sure & mask), sure)
        return Answers(*(np.where(mask, values, np.float32(np.nan)) for values in (found.margin, found.mass)))
