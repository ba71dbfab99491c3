"""A data set of two short stories on disk, as the stages before `features` leave it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from qaemb.features.inputs import Inputs
from qaemb.files import write_json, write_table
from qaemb.identity import file_sha256, text_id
from qaemb.settings import SegmentationSettings, SpaceSettings
from qaemb.stimuli.lanczos import lanczos_matrix
from qaemb.stimuli.segments import segment_tables

TEXTS = {"one": "the red fox saw the river and the red boat left", "two": "a boat sank near the fox"}
WORDS = {story: text.split() for story, text in TEXTS.items()}
SPANS = {"one": [(0, 5), (6, 10)], "two": [(0, 2), (3, 5)]}
N_TRS = {"one": 9, "two": 5}


class Source:
    """The files of a made data set and what is true of them."""

    spans = SPANS
    n_trs = N_TRS
    words = WORDS

    def __init__(self, root: Path) -> None:
        self.root, self.dataset = root, root / "dataset"
        words = [self.word_table(story) for story in WORDS]
        write_table(self.dataset / "words.parquet", pd.concat(words, ignore_index=True))
        stories = [(story, kind, N_TRS[story], 2.0, 1.0) for story, kind in (("one", "train"), ("two", "test"))]
        columns = ["story", "split", "n_trs", "tr_s", "first_tr_s"]
        write_table(self.dataset / "stories.parquet", pd.DataFrame(stories, columns=columns))
        rows = [
            (story, i, first, last, " ".join(WORDS[story][first : last + 1]))
            for story, spans in SPANS.items()
            for i, (first, last) in enumerate(spans)
        ]
        columns = ["story", "index", "first_word", "last_word", "text"]
        write_table(self.dataset / "sentences.parquet", pd.DataFrame(rows, columns=columns))

    def word_table(self, story: str) -> pd.DataFrame:
        """Words every 1.2 s, .5 s long; in story `one` a pause after the sixth leaves rows without words."""
        onset = np.array([1.2 * i + (6.0 if story == "one" and i >= 6 else 0.0) for i in range(len(WORDS[story]))])
        table = pd.DataFrame({"word": WORDS[story], "onset_s": onset, "offset_s": onset + 0.5})
        return table.assign(story=story, index=np.arange(len(table), dtype=np.int32))

    def middles(self, story: str) -> np.ndarray:
        return self.word_table(story)["onset_s"].to_numpy() + 0.25

    def lanczos(self, story: str) -> np.ndarray:
        return lanczos_matrix(self.middles(story), 1.0 + 2.0 * np.arange(N_TRS[story]), 3)

    def without_transcript(self) -> None:
        path = self.dataset / "sentences.parquet"
        write_table(path, pd.read_parquet(path).iloc[:0])

    def cut(self, kind: str, **settings) -> tuple[SegmentationSettings, Path]:
        own = SegmentationSettings(kind=kind, **settings)
        tables = [pd.read_parquet(self.dataset / f"{name}.parquet") for name in ("words", "stories", "sentences")]
        folder = self.root / "segments" / kind
        for name, table in zip(("segments", "occurrences"), segment_tables(*tables, own), strict=True):
            write_table(folder / f"{name}.parquet", table)
        return own, folder

    def answer(self, segments: Path, questions: tuple[str, ...] = ("food", "motion")) -> tuple[Path, Path]:
        table = pd.read_parquet(segments / "segments.parquet")
        margins = {q: np.array([self.margin(text, q) for text in table["text"]], np.float32) for q in questions}
        answers, validation = self.root / "answers", self.root / "validation"
        write_table(answers / "margin.parquet", pd.DataFrame({"segment_id": table["segment_id"], **margins}))
        verdict = {"success": True, "answers_sha256": file_sha256(answers / "margin.parquet")}
        write_json(validation / "validation.json", verdict)
        return answers, validation

    def margin(self, text: str, question: str) -> float:
        """A number between -4 and 4 that looks arbitrary and is the same in every run."""
        return int(text_id(text + question)[:6], 16) / 16**6 * 8 - 4

    def qa(self, kind: str, value: str = "margin", **cut) -> Inputs:
        segmentation, segments = self.cut(kind, **cut)
        answers, validation = self.answer(segments)
        space = SpaceSettings(kind="qa", input=Path("x"), job="j", value=value)
        return Inputs(space, 3, self.dataset, segmentation, segments, answers, validation)

    def inputs(self, kind: str, **settings) -> Inputs:
        return Inputs(SpaceSettings(kind=kind, input=Path("x"), **settings), 3, self.dataset)


@pytest.fixture
def source(tmp_path) -> Source:
    return Source(tmp_path)
