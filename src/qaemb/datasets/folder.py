"""folder: one's own data in a plain layout, without code.

    stories.csv                    story, tr_s; optional: split (train or test), first_tr_s
    words/STORY.csv                word, onset_s, offset_s (or words/STORY.TextGrid)
    responses/SUBJECT/STORY.npy    (n_trs, voxels) (or .h5 or .hf5: `data`, and `individual_repeats` where there are)
    repeats/SUBJECT/STORY.npy      (repeats, n_trs, voxels), where there are
    voxels.csv                     voxel, hemi, vertex, where known; optional: subject, region

Times are seconds of the sound. Row j of the responses is the TR whose middle is at first_tr_s + j tr_s; without
first_tr_s the first row begins with the sound.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path

import pandas as pd

from qaemb.datasets.arrays import check_arrays, check_rows, open_npy, open_responses, shape_of
from qaemb.datasets.doctor import (
    Check,
    Compared,
    Problem,
    Recorded,
    check_responses,
    check_stories,
    check_table,
    check_textgrid,
    unless_bad,
)
from qaemb.datasets.source import Adapter, Responses, Source, Timing, read_voxels
from qaemb.datasets.textgrid import read_words
from qaemb.datasets.words import NO_RULES, LabelRules, require_usable, spoken_words
from qaemb.errors import BadInput, listed
from qaemb.rows import read_csv, read_numbers, refuse_rows

_RESPONSE_SUFFIXES = (".npy", ".h5", ".hf5")
_WORD_SUFFIXES = (".csv", ".TextGrid")


class _Files:
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
        return _only_one(self.folder / "responses" / subject, story, _RESPONSE_SUFFIXES)

    def words_path(self, story: str) -> Path:
        """Return the file of the words, with the suffix .csv where there is none; BadInput if there are two."""
        return _only_one(self.folder / "words", story, _WORD_SUFFIXES) or self.folder / "words" / f"{story}.csv"

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


class _FolderSource(Source):
    """A folder in the layout above."""

    def __init__(self, folder: Path, rules: LabelRules = NO_RULES) -> None:
        self.files, self._rules = _Files(folder), rules
        self._stories = _read_stories(folder / "stories.csv")
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
        return (read_words if path.suffix == ".TextGrid" else _read_words_csv)(path, self._rules)

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


def _read_stories(path: Path) -> pd.DataFrame:
    """Return split, tr_s and first_tr_s by story; BadInput names the row of stories.csv that is wrong."""
    table = read_csv(path, ["story", "tr_s"])
    if "split" not in table.columns:
        table["split"] = "train"
    table["tr_s"] = read_numbers(path, table, "tr_s")
    has_first = "first_tr_s" in table.columns
    table["first_tr_s"] = read_numbers(path, table, "first_tr_s") if has_first else table["tr_s"] / 2
    wrong_rows = {
        "`story` is empty or holds a slash": (table["story"] == "") | table["story"].str.contains(r"[/\\]"),
        "the story is there twice": table["story"].duplicated(),
        "`split` is train or test": ~table["split"].isin(["train", "test"]),
        "`tr_s` is above 0": table["tr_s"] <= 0,
    }
    refuse_rows(path, wrong_rows)
    if table.empty:
        raise BadInput(f"{path} lists no stories")
    return table.set_index("story")


def _read_words_csv(path: Path, rules: LabelRules) -> pd.DataFrame:
    """Return word (lower case), onset_s and offset_s of a words file, without noises; BadInput names file and row."""
    words = _read_words_table(path, rules)
    require_usable(path, words)
    return words


def _read_words_table(path: Path, rules: LabelRules) -> pd.DataFrame:
    """Return the words as `_read_words_csv` does, whatever their order; BadInput names a row without times.

    The index counts the rows of the file.
    """
    table = read_csv(path, ["word", "onset_s", "offset_s"])
    times = {column: read_numbers(path, table, column) for column in ("onset_s", "offset_s")}
    return spoken_words(pd.DataFrame({"word": table["word"], **times}), rules)


def _only_one(folder: Path, stem: str, suffixes: tuple[str, ...]) -> Path | None:
    paths = [path for suffix in suffixes if (path := folder / f"{stem}{suffix}").exists()]
    if len(paths) > 1:
        raise BadInput(f"{paths[0]}: {paths[1].name} is there as well; remove one of the two")
    return paths[0] if paths else None


class _Doctor:
    """What the checks of one folder share; rows of a story are those of its first file that can be opened."""

    def __init__(self, folder: Path, rules: LabelRules) -> None:
        self.files, self.rules = _Files(folder), rules
        self.compared = Compared()
        self.rows: dict[str, tuple[int, str]] = {}
        self.stories = unless_bad(partial(_read_stories, folder / "stories.csv"))

    def listed_stories(self) -> set[str]:
        return set() if self.stories is None else set(self.stories.index)

    def checks(self) -> list[Check]:
        files = self.files
        subjects = files.subjects()
        heard = {subject: files.stems(f"responses/{subject}", _RESPONSE_SUFFIXES) for subject in subjects}
        stories = self.listed_stories() | files.stems("words", _WORD_SUFFIXES) | set().union(*heard.values())
        checks = [Check("stories.csv", self.check_stories)]
        if not subjects:
            checks.append(Check("responses", lambda: [("ERROR", "holds no folder of a subject")]))
        for subject in subjects:
            checks.append(Check(f"responses/{subject}", partial(self.check_subject, subject, heard[subject])))
            for story in sorted(heard[subject]):
                checks.append(Check(self.place(subject, story), partial(self.check_responses, subject, story)))
        checks += [Check(self.words_place(story), partial(self.check_words, story)) for story in sorted(stories)]
        if (files.folder / "voxels.csv").exists():
            checks.append(Check("voxels.csv", self.check_voxels))
        return checks

    def check_stories(self) -> Iterator[Problem]:
        table = _read_stories(self.files.folder / "stories.csv")
        n_test = int((table["split"] == "test").sum())
        yield "OK", f"{len(table)} stories, {n_test} of them for testing"

    def check_subject(self, subject: str, heard: set[str]) -> Iterator[Problem]:
        if heard:
            yield from check_stories(self.listed_stories(), heard)
        else:
            yield "ERROR", "holds no responses (.npy, .h5 or .hf5)"
        alone = sorted(self.files.stems(f"repeats/{subject}", (".npy",)) - heard)
        if alone:
            yield "ERROR", f"repeats/{subject} has repeats without responses: {listed(alone)}"
        folder = self.files.folder / "responses" / subject
        others = sorted(path.name for path in folder.iterdir() if path.suffix not in _RESPONSE_SUFFIXES)
        if others:
            yield "WARNING", f"files that are not read: {listed(others)}"
        yield "OK", f"{len(heard)} stories"

    def check_responses(self, subject: str, story: str) -> Iterator[Problem]:
        if self.stories is not None and story not in self.stories.index:
            yield "WARNING", f"the story `{story}` is not in stories.csv and can't be used"
        place = self.place(subject, story)
        with self.files.open(subject, story) as responses:
            n_rows = responses.data.shape[0]
        expected = self.rows.setdefault(story, (n_rows, f"the rows of {place}"))
        open_it = partial(self.files.open, subject, story)
        yield from check_responses(Recorded(subject, place, open_it, expected), self.compared)

    def check_words(self, story: str) -> Iterator[Problem]:
        if self.stories is not None and story not in self.stories.index:
            yield "WARNING", f"the story `{story}` is not in stories.csv and can't be used"
        path = self.files.words_path(story)
        if not path.exists():
            yield "ERROR", f"is missing, and so is {path.with_suffix('.TextGrid').name}; a story needs its words"
        elif path.suffix == ".TextGrid":
            yield from check_textgrid(path, self.timing(story), rules=self.rules)
        else:
            yield from check_table(_read_words_table(path, self.rules), self.timing(story))
        if self.stories is not None and story in self.stories.index and story not in self.rows:
            yield "ERROR", "nobody has responses to this story"

    def check_voxels(self) -> Iterator[Problem]:
        table = read_voxels(self.files.folder / "voxels.csv")
        for subject, (n_voxels, first) in self.compared.voxels.items():
            rows = table[table["subject"] == subject] if "subject" in table.columns else table
            if len(rows) and int(rows["voxel"].max()) >= n_voxels:
                yield "ERROR", f"places voxel {rows['voxel'].max()} of {subject}, but {first} has {n_voxels} (from 0)"
        yield "OK", f"{len(table)} voxels"

    def timing(self, story: str) -> Timing | None:
        if self.stories is None or story not in self.stories.index or story not in self.rows:
            return None
        tr_s, first_tr_s = (float(self.stories[name][story]) for name in ("tr_s", "first_tr_s"))
        return Timing(self.rows[story][0], tr_s, first_tr_s)

    def place(self, subject: str, story: str) -> str:
        folder = self.files.folder / "responses" / subject
        names = [f"{story}{suffix}" for suffix in _RESPONSE_SUFFIXES if (folder / f"{story}{suffix}").exists()]
        return f"responses/{subject}/{names[0]}"

    def words_place(self, story: str) -> str:
        folder = self.files.folder / "words"
        suffixes = (suffix for suffix in _WORD_SUFFIXES if (folder / f"{story}{suffix}").exists())
        return f"words/{story}{next(suffixes, '.csv')}"


def _checks(folder: Path, rules: LabelRules = NO_RULES) -> list[Check]:
    return _Doctor(folder, rules).checks()


ADAPTER = Adapter(_FolderSource, _checks, mark="stories.csv", patterns=("stories.csv",), has_rules=True)
