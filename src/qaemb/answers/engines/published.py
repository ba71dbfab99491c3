"""Engine `published`: answers that someone else bought, from a folder of `qaemb answers export`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from qaemb.answers.answerer import Answers, Cost, Progress, check_inputs
from qaemb.answers.engines.keyed import KeyedAnswerer
from qaemb.answers.export import Export, read_export
from qaemb.errors import BadInput
from qaemb.identity import text_id
from qaemb.settings import AnswererSettings


class PublishedAnswerer(KeyedAnswerer):
    """Answers what is in an export, and refuses the rest: nothing is computed."""

    def __init__(self, settings: AnswererSettings, folder: Path) -> None:
        super().__init__(settings)
        self.folder = folder

    @cached_property
    def export(self) -> Export:
        """The matrix and where it is from, checked; BadInput names what is wrong."""
        return read_export(self.folder)

    @property
    def spec(self) -> dict[str, Any]:
        """The key of whose answers these are, and the digests of the tables."""
        return {"engine": self.engine_name, "source": self.export.key, "files": self.export.digests}

    @property
    def source(self) -> str:
        """What a block says of where its answers are from."""
        return f"{self.export.answerer} ({self.export.key}), exported {self.export.exported_at}"

    def cost(self, texts: Sequence[str], questions: Sequence[str]) -> Cost:
        """Return no cost: reading takes no token."""
        check_inputs(texts, questions)
        return Cost(0, 0)

    def answer(self, texts: Sequence[str], questions: Sequence[str], progress: Progress | None = None) -> Answers:
        """Return margin and mass of every text and question; BadInput names one that the export lacks."""
        check_inputs(texts, questions)
        rows = self._places("text", texts, self._rows)
        columns = self._places("question", questions, self._columns)
        cells = np.ix_(rows, columns)
        if progress is not None:
            progress(len(texts) * len(questions))
        return Answers(self.export.margin[cells], self.export.mass[cells])

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.export.segment_ids)}

    @cached_property
    def _columns(self) -> dict[str, int]:
        return {name: column for column, name in enumerate(self.export.question_ids)}

    def _places(self, kind: str, values: Sequence[str], known: dict[str, int]) -> list[int]:
        ids = [text_id(value) for value in values]
        lacking = [value for name, value in zip(ids, values, strict=True) if name not in known]
        if lacking:
            raise BadInput(
                f"{self.folder} has no answers for {len(lacking)} of {len(values)} {kind}s, first {lacking[0]!r}; "
                f"it has {len(known)}: use the segmentation and question set that were exported, or have more exported"
            )
        return [known[name] for name in ids]
