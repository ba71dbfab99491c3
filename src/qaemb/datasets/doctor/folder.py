"""The checks of a folder in the layout `folder`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pandas as pd

from qaemb.datasets.doctor.arrays import Compared, Recorded, check_responses
from qaemb.datasets.doctor.findings import Check, Problem, listed
from qaemb.datasets.doctor.transcripts import check_table, check_textgrid
from qaemb.datasets.folder import (
    RESPONSE_SUFFIXES,
    WORD_SUFFIXES,
    FolderFiles,
    read_stories,
    read_words_table,
)
from qaemb.datasets.source import Timing
from qaemb.datasets.voxels import read_voxels
from qaemb.errors import BadInput


class _Doctor:
    """What the checks of one folder share; rows of a story are those of its first file that can be opened."""

    def __init__(self, folder: Path) -> None:
        self.files = FolderFiles(folder)
        self.compared = Compared()
        self.rows: dict[str, tuple[int, str]] = {}
        try:
            self.stories: pd.DataFrame | None = read_stories(folder / "stories.csv")
        except BadInput:
            self.stories = None

    def listed_stories(self) -> set[str]:
        return set() if self.stories is None else set(self.stories.index)

    def checks(self) -> list[Check]:
        files = self.files
        subjects = files.subjects()
        heard = {subject: files.stems(f"responses/{subject}", RESPONSE_SUFFIXES) for subject in subjects}
        told = self.listed_stories() | files.stems("words", WORD_SUFFIXES) | set().union(*heard.values())
        checks = [Check("stories.csv", self.check_stories)]
        if not subjects:
            checks.append(Check("responses", lambda: [("ERROR", "holds no folder of a subject")]))
        for subject in subjects:
            checks.append(Check(f"responses/{subject}", partial(self.check_subject, subject, heard[subject])))
            for story in sorted(heard[subject]):
                checks.append(Check(self.place(subject, story), partial(self.check_responses, subject, story)))
        checks += [Check(self.words_place(story), partial(self.check_words, story)) for story in sorted(told)]
        if (files.folder / "voxels.csv").exists():
            checks.append(Check("voxels.csv", self.check_voxels))
        return checks

    def check_stories(self) -> Iterator[Problem]:
        table = read_stories(self.files.folder / "stories.csv")
        n_test = int((table["split"] == "test").sum())
        yield "OK", f"{len(table)} stories, {n_test} of them for testing"

    def check_subject(self, subject: str, heard: set[str]) -> Iterator[Problem]:
        missing = sorted(self.listed_stories() - heard)
        if not heard:
            yield "ERROR", "holds no responses (.npy, .h5 or .hf5)"
        elif missing:
            yield "WARNING", f"lacks {len(missing)} of {len(self.listed_stories())} stories: {listed(missing)}"
        alone = sorted(self.files.stems(f"repeats/{subject}", (".npy",)) - heard)
        if alone:
            yield "ERROR", f"repeats/{subject} has repeats without responses: {listed(alone)}"
        folder = self.files.folder / "responses" / subject
        others = sorted(path.name for path in folder.iterdir() if path.suffix not in RESPONSE_SUFFIXES)
        if others:
            yield "WARNING", f"files that are not read: {listed(others)}"
        yield "OK", f"{len(heard)} stories"

    def check_responses(self, subject: str, story: str) -> Iterator[Problem]:
        if self.stories is not None and story not in self.stories.index:
            yield "WARNING", f"the story `{story}` is not in stories.csv and can't be used"
        place = self.place(subject, story)
        with self.files.open(subject, story) as responses:
            found = responses.data.shape[0]
        expected = self.rows.setdefault(story, (found, f"the rows of {place}"))
        open_it = partial(self.files.open, subject, story)
        yield from check_responses(Recorded(subject, place, open_it, expected), self.compared)

    def check_words(self, story: str) -> Iterator[Problem]:
        if self.stories is not None and story not in self.stories.index:
            yield "WARNING", f"the story `{story}` is not in stories.csv and can't be used"
        path = self.files.words_path(story)
        if not path.exists():
            yield "ERROR", f"is missing, and so is {path.with_suffix('.TextGrid').name}; a story needs its words"
        elif path.suffix == ".TextGrid":
            yield from check_textgrid(path, self.timing(story))
        else:
            yield from check_table(read_words_table(path), self.timing(story))
        if self.stories is not None and story in self.stories.index and story not in self.rows:
            yield "ERROR", "nobody has responses to this story"

    def check_voxels(self) -> Iterator[Problem]:
        table = read_voxels(self.files.folder / "voxels.csv")
        for subject, (n_voxels, first) in self.compared.voxels.items():
            own = table[table["subject"] == subject] if "subject" in table.columns else table
            if len(own) and int(own["voxel"].max()) >= n_voxels:
                yield "ERROR", f"places voxel {own['voxel'].max()} of {subject}, but {first} has {n_voxels} (from 0)"
        yield "OK", f"{len(table)} voxels"

    def timing(self, story: str) -> Timing | None:
        if self.stories is None or story not in self.stories.index or story not in self.rows:
            return None
        tr_s, first_tr_s = (float(self.stories[name][story]) for name in ("tr_s", "first_tr_s"))
        return Timing(self.rows[story][0], tr_s, first_tr_s)

    def place(self, subject: str, story: str) -> str:
        folder = self.files.folder / "responses" / subject
        names = [f"{story}{suffix}" for suffix in RESPONSE_SUFFIXES if (folder / f"{story}{suffix}").exists()]
        return f"responses/{subject}/{names[0]}"

    def words_place(self, story: str) -> str:
        there = [suffix for suffix in WORD_SUFFIXES if (self.files.folder / "words" / f"{story}{suffix}").exists()]
        return f"words/{story}{(there or ['.csv'])[0]}"


def folder_checks(folder: Path) -> list[Check]:
    """Return the checks of all files of the layout."""
    return _Doctor(folder).checks()
