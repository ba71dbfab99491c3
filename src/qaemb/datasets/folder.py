"""folder: one's own data in a plain layout, without code.

    stories.csv                    story, tr_s; and, where wanted, split (train or test), first_tr_s
    words/STORY.csv                word, onset_s, offset_s (or words/STORY.TextGrid)
    responses/SUBJECT/STORY.npy    (n_trs, voxels) (or .h5 or .hf5: `data`, and `individual_repeats` where there are)
    repeats/SUBJECT/STORY.npy      (repeats, n_trs, voxels), where there are
    voxels.csv                     voxel, hemi, vertex, where known; subject and region where wanted

Times are seconds of the sound. Row j of the responses is the TR whose middle is at first_tr_s + j tr_s; without
first_tr_s the first row begins with the sound.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import pandas as pd

from qaemb.datasets.arrays import check_arrays, check_rows, open_npy, open_responses, shape_of
from qaemb.datasets.csv_files import FIRST_ROW, read_csv, read_numbers
from qaemb.datasets.labels import clean_word
from qaemb.datasets.source import Responses, Timing, WordsAndResponses
from qaemb.datasets.textgrid import read_words
from qaemb.datasets.voxels import read_voxels
from qaemb.datasets.words import require_usable
from qaemb.errors import BadInput

RESPONSE_SUFFIXES = (".npy", ".h5", ".hf5")
WORD_SUFFIXES = (".csv", ".TextGrid")


class FolderFiles:
    """Where the files of the layout are."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def subjects(self) -> list[str]:
        """Return the folders under responses, sorted."""
        return sorted(path.name for path in (self.folder / "responses").glob("*") if path.is_dir())

    def stems(self, folder: str, suffixes: tuple[str, ...]) -> set[str]:
        """Return the names, without suffix, of the files of a folder that have one of the suffixes."""
        return {path.stem for path in (self.folder / folder).glob("*") if path.suffix in suffixes}

    def responses_path(self, subject: str, story: str) -> Path | None:
        """Return the file of the responses, None where there is none; BadInput if there are two."""
        return _only_one(self.folder / "responses" / subject, story, RESPONSE_SUFFIXES)

    def words_path(self, story: str) -> Path:
        """Return the file of the words, with the suffix .csv where there is none; BadInput if there are two."""
        return _only_one(self.folder / "words", story, WORD_SUFFIXES) or self.folder / "words" / f"{story}.csv"

    @contextmanager
    def open(self, subject: str, story: str) -> Iterator[Responses]:
        """Yield a subject's responses, with the repeats of the same file or of repeats/SUBJECT/STORY.npy."""
        path = self.responses_path(subject, story)
        if path is None:
            raise BadInput(f"{self.folder / 'responses' / subject} holds no responses to {story}")
        if path.suffix != ".npy":
            with open_responses(path) as responses:
                yield responses
            return
        repeats = self.folder / "repeats" / subject / f"{story}.npy"
        responses = Responses(open_npy(path), open_npy(repeats) if repeats.exists() else None, str(path))
        check_arrays(responses)
        yield responses


class FolderSource(WordsAndResponses):
    """A folder in the layout above."""

    def __init__(self, folder: Path) -> None:
        self.files = FolderFiles(folder)
        self._stories = read_stories(folder / "stories.csv")
        self._n_trs = lru_cache(maxsize=None)(self._rows_of_first)

    def stories(self) -> list[str]:
        """Return the stories of stories.csv."""
        return sorted(self._stories.index)

    def held_out(self) -> frozenset[str]:
        """Return the stories whose split is test."""
        return frozenset(self._stories.index[self._stories["split"] == "test"])

    def subjects(self) -> list[str]:
        """Return the folders under responses."""
        return self.files.subjects()

    def has(self, subject: str, story: str) -> bool:
        """Return whether the subject has a file of responses to the story."""
        return self.files.responses_path(subject, story) is not None

    def timing(self, story: str) -> Timing:
        """Return the times of stories.csv and the rows of the first subject; BadInput if nobody heard the story."""
        return Timing(self._n_trs(story)[0], *(float(self._stories[name][story]) for name in ("tr_s", "first_tr_s")))

    def words(self, story: str) -> pd.DataFrame:
        """Return the words of words/STORY.csv, else of words/STORY.TextGrid, as those of a transcript are read."""
        path = self.files.words_path(story)
        return read_words(path) if path.suffix == ".TextGrid" else read_words_csv(path)

    @contextmanager
    def responses(self, subject: str, story: str) -> Iterator[Responses]:
        """Yield the subject's responses, which must have as many rows as those of others."""
        with self.files.open(subject, story) as responses:
            check_rows(responses, *self._n_trs(story))
            yield responses

    def voxels(self, subject: str) -> pd.DataFrame | None:
        """Return the subject's rows of voxels.csv, or all if it names no subjects; None without the file."""
        path = self.files.folder / "voxels.csv"
        if not path.exists():
            return None
        table = read_voxels(path)
        return table[table["subject"] == subject] if "subject" in table.columns else table

    def _rows_of_first(self, story: str) -> tuple[int, str]:
        """Return the rows of the first subject who heard the story, and a text that says whose they are."""
        for subject in self.subjects():
            if self.has(subject, story):
                with self.files.open(subject, story) as responses:
                    return responses.data.shape[0], f"the rows of {subject}, who has {shape_of(responses.data)}"
        where = self.files.folder / "responses"
        raise BadInput(f"{where} holds no SUBJECT/{story} with .npy, .h5 or .hf5; leave the story out")


def read_stories(path: Path) -> pd.DataFrame:
    """Return split, tr_s and first_tr_s by story; BadInput names the row of stories.csv that is wrong."""
    table = read_csv(path, ["story", "tr_s"])
    if "split" not in table.columns:
        table["split"] = "train"
    table["tr_s"] = read_numbers(path, table, "tr_s")
    given = "first_tr_s" in table.columns
    table["first_tr_s"] = read_numbers(path, table, "first_tr_s") if given else table["tr_s"] / 2
    wrong = {
        "`story` is empty or holds a slash": (table["story"] == "") | table["story"].str.contains(r"[/\\]"),
        "the story is there twice": table["story"].duplicated(),
        "`split` is train or test": ~table["split"].isin(["train", "test"]),
        "`tr_s` is above 0": table["tr_s"] <= 0,
    }
    for message, rows in wrong.items():
        if rows.any():
            raise BadInput(f"{path}, row {FIRST_ROW + int(rows.to_numpy().argmax())}: {message}")
    if table.empty:
        raise BadInput(f"{path} lists no stories")
    return table.set_index("story")


def read_words_csv(path: Path) -> pd.DataFrame:
    """Return word (lower case), onset_s and offset_s of a words file, without noises; BadInput names file and row."""
    words = read_words_table(path)
    require_usable(path, words)
    return words


def read_words_table(path: Path) -> pd.DataFrame:
    """Return the words as `read_words_csv` does, whatever their order; BadInput names a row without times.

    The index counts the rows of the file.
    """
    table = read_csv(path, ["word", "onset_s", "offset_s"])
    times = {column: read_numbers(path, table, column) for column in ("onset_s", "offset_s")}
    words = pd.DataFrame({"word": table["word"].map(clean_word), **times})
    return words[words["word"].notna()]


def _only_one(folder: Path, stem: str, suffixes: tuple[str, ...]) -> Path | None:
    paths = [path for suffix in suffixes if (path := folder / f"{stem}{suffix}").exists()]
    if len(paths) > 1:
        raise BadInput(f"{paths[0]}: {paths[1].name} is there as well; remove one of the two")
    return paths[0] if paths else None
