"""A small project whose one job, `pub`, takes published answers into the store: real commands that start quickly."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from qaemb.answers import Answers, open_answerer
from qaemb.answers.export import Export, write_export
from qaemb.answers.store import Store
from qaemb.files import write_table, write_text
from qaemb.identity import json_id, text_id
from qaemb.questions import Question, QuestionSet, write_tables
from qaemb.settings import Settings, load_settings
from qaemb.workspace import Workspace

ROOT = Path(__file__).parents[2]
JOB = "pub"
COMMAND = ("answers", "--job", JOB)
_SPEC = {"what": "margins that tell their cell"}


@dataclass(frozen=True)
class Project:
    """The folder, and what its job must come to: margin = segment number + question number / 1000."""

    folder: Path
    n_segments: int
    n_questions: int
    block_texts: int = 25

    @property
    def segments(self) -> list[str]:
        """The texts."""
        return [f"segment number {number}" for number in range(self.n_segments)]

    @property
    def questions(self) -> list[Question]:
        """The questions."""
        return [Question(f"q{number}", f"Is it number {number}?") for number in range(self.n_questions)]

    @cached_property
    def ids(self) -> tuple[list[str], list[str]]:
        """The segment ids and the question ids."""
        return [text_id(text) for text in self.segments], [question.question_id for question in self.questions]

    @cached_property
    def expected(self) -> Answers:
        """The answers of all cells."""
        margin = np.arange(self.n_segments)[:, None] + np.arange(self.n_questions)[None] / 1000
        return Answers(margin.astype(np.float32), (margin / (self.n_segments + 1)).astype(np.float32))

    @property
    def n_blocks(self) -> int:
        """How many blocks the whole matrix takes."""
        return -(-self.n_segments // self.block_texts)

    @cached_property
    def store(self) -> Store:
        """The store of the job's answerer."""
        settings = self.settings
        answerer = open_answerer(JOB, settings.answers.spec, Workspace(self.folder).model, self.folder)
        return Store(Workspace(self.folder).store(settings.answers.store), answerer.key)

    @property
    def settings(self) -> Settings:
        """The project's params.yaml."""
        return load_settings(self.folder / "params.yaml")

    def write(self, store: str = "data/store") -> Project:
        """Write params.yaml, the tables and the published answers; returns itself."""
        workspace = Workspace(self.folder)
        write_text(self.folder / "params.yaml", yaml.safe_dump(self._params(store), sort_keys=False))
        texts = self.segments
        table = pd.DataFrame({"segment_id": [text_id(text) for text in texts], "text": texts})
        write_table(workspace.segments("tr") / "segments.parquet", table)
        occurrences = {"story": "story", "index": range(len(texts)), "time_s": 0.0, "segment_id": table["segment_id"]}
        write_table(workspace.segments("tr") / "occurrences.parquet", pd.DataFrame(occurrences))
        write_tables(workspace.questions, self.questions, [QuestionSet("all", tuple(self.questions))], [])
        segments, _ = self.ids
        write_export(
            Export(
                answerer="made up",
                key=json_id(_SPEC),
                spec=_SPEC,
                segment_ids=segments,
                questions=[{"question_id": own.question_id, "text": own.text} for own in self.questions],
                margin=self.expected.margin,
                mass=self.expected.mass,
            ),
            workspace.published / JOB,
        )
        return self

    def _params(self, store: str) -> dict[str, object]:
        params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
        params["segments"] = {"tr": params["segments"]["tr"]}
        params["answers"] = {
            "store": store,
            "block_texts": self.block_texts,
            "spec": {JOB: {"engine": "published", "published": f"data/published/{JOB}"}},
            "jobs": {JOB: {"answerer": JOB, "segmentation": "tr", "set": "all"}},
        }
        params["features"]["spaces"] = {"gold": params["features"]["spaces"]["gold"]}
        params["encode"]["spaces"] = {"gold": ["gold"]}
        params["select"]["spaces"] = ["gold"]
        params["distill"] = {"students": {}}
        params["downstream"] = {"tasks": {}}
        params["publish"] |= {"job": JOB, "sets": ["all"]}
        return params

    def wrong(self, store: Store | None = None) -> list[str]:
        """Return what is wrong with the blocks that are visible: damage, a wrong value, a cell in two blocks."""
        store = store or self.store
        rows, columns = ({name: number for number, name in enumerate(own)} for own in self.ids)
        found = [f"{name} {problem}" for name, problem in store.check() if problem]
        if found:
            return found
        times = np.zeros(self.expected.margin.shape, np.int64)
        for block in store.blocks():
            own = np.ix_([rows[name] for name in block.segment_ids], [columns[name] for name in block.question_ids])
            times[own] += 1
            stored = block.answers(block.question_ids)
            for kind in ("margin", "mass"):
                if not np.array_equal(getattr(stored, kind), getattr(self.expected, kind)[own]):
                    found.append(f"{block.name} has a wrong {kind}")
        return found + ([f"{int((times > 1).sum())} cells stand in two blocks"] if (times > 1).any() else [])
