"""Students' margins on every TR of lebel_pcs, and on what texts: through the answerers that users have."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from qaemb.answers.engines.student import StudentAnswerer
from qaemb.answers.students.reading import text_vectors
from qaemb.distill.cells import TeacherCells
from qaemb.files import read_table, write_table
from qaemb.models.vectors import vectors_of
from qaemb.settings import AnswererSettings, Settings
from qaemb.stages.distill import teacher_cells
from qaemb.workspace import Workspace

SEGMENTATION = "tr_marked"


@dataclass(frozen=True, eq=False)
class Margins:
    """Margins (rows, 86) of students by name; `cells`: GPT-4's answers to the same texts; `is_test` (rows,)."""

    cells: TeacherCells
    is_test: np.ndarray
    by_student: dict[str, np.ndarray]


def answer_all(settings: Settings, workspace: Workspace, students: dict[str, str]) -> Margins:
    """Return the margins of each student (name -> model) on the marked TRs of all stories, and their mean `both`."""
    own = next(iter(settings.distill.students.values())).model_copy(
        update={"published": "gpt4", "job": None, "segmentations": [SEGMENTATION]}
    )
    (cells,) = teacher_cells(settings, workspace, own)
    texts = list(dict.fromkeys(cells.texts))
    place = {text: number for number, text in enumerate(texts)}
    rows = np.array([place[text] for text in cells.texts])
    found = {}
    for name, model in students.items():
        spec = AnswererSettings(engine="student", model=model, student=str(workspace.students / name))
        answerer = StudentAnswerer(spec, workspace.model(model))
        found[name] = _margins(answerer, texts, cells.questions, workspace.root / settings.answers.store)[rows]
    if len(found) > 1:
        found["both"] = np.mean(list(found.values()), axis=0)
    return Margins(cells, np.isin(cells.groups, settings.dataset.test_stories), found)


def _margins(answerer: StudentAnswerer, texts: list[str], questions: list[str], store: Path) -> np.ndarray:
    """Return what the answerer answers, from vectors that are kept; a sample of the texts is answered to make sure."""
    encoder, (reader,) = answerer.encoder, answerer.student.readers
    vectors = text_vectors(texts, True, lambda new: vectors_of(encoder, new, store / "vectors"), encoder.width)
    margin = reader.heads.margins(vectors)
    sample = list(range(0, len(texts), len(texts) // 50))
    answered = answerer.answer([texts[row] for row in sample], questions).margin
    np.testing.assert_allclose(margin[sample], answered, atol=1e-3)
    return margin


def publish(margins: Margins, workspace: Workspace) -> None:
    """Write each student's margins beside the published answers of the data set, a row per TR.

    A TR without words in its window gets the mean of its story's other TRs, as spaces of answers do.
    """
    occurrences = read_table(workspace.segments(SEGMENTATION) / "occurrences.parquet")
    stories = read_table(workspace.dataset / "stories.parquet", ["story", "n_trs"])
    order = [index for _, own in occurrences.groupby("story", sort=False) for index in own["index"]]
    groups = np.array(margins.cells.groups)
    for name, values in margins.by_student.items():
        tables = []
        for story, n_trs in stories.itertuples(index=False):
            own = groups == story
            full = np.repeat(values[own].mean(0, keepdims=True), n_trs, 0)
            full[np.array(order)[own]] = values[own]
            table = pd.DataFrame(full.astype(np.float32), columns=margins.cells.questions)
            table.insert(0, "tr", np.arange(n_trs, dtype=np.int32))
            table.insert(0, "story", story)
            tables.append(table)
        path: Path = workspace.dataset / "published" / f"student_{name}.parquet"
        write_table(path, pd.concat(tables, ignore_index=True))
