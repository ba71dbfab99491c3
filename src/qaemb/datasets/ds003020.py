"""ds003020 (LeBel et al.): TextGrids, respdict.json and one hf5 of responses per subject and story.

A run has n scans (respdict.json), TR 2.0 s; the sound starts at 10 s. The published responses lack the first and last
ten scans, so n - 20 rows remain, and the middle of row j is at 11 + 2 j seconds of the sound.
`derivative/gold/` and `derivative/voxels/` are extensions of the data set `miniature`; the original has neither.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import pandas as pd

from qaemb.datasets.arrays import check_rows, open_responses
from qaemb.datasets.bids.images import count_inside
from qaemb.datasets.doctor import (
    Check,
    Compared,
    Problem,
    Recorded,
    absent,
    check_responses,
    check_stories,
    check_textgrid,
    unless_bad,
)
from qaemb.datasets.source import Adapter, Responses, Source, Timing, read_voxels
from qaemb.datasets.textgrid import read_words
from qaemb.datasets.words import NO_RULES, LabelRules
from qaemb.datasets.write import check_sentences
from qaemb.errors import BadInput, listed
from qaemb.files import read_json
from qaemb.rows import read_csv, read_numbers, refuse_rows

TR_S = 2.0
SOUND_START_S = 10.0
"""Seconds from the first scan to the sound."""

FIRST_TR_S = 11.0
N_TRIMMED = 20
"""Scans of a run that have no row: ten before and ten after."""

_FEWEST_SCANS = N_TRIMMED + 2
_SENTENCE_COLUMNS = ["story", "index", "first_word", "last_word", "text"]


class _Ds003020(Source):
    """A folder with `derivative/`, as ds003020 has it, of any number of stories and subjects."""

    def __init__(self, folder: Path, rules: LabelRules = NO_RULES) -> None:
        self.folder, self._rules = folder / "derivative", rules
        if not self.folder.is_dir():
            raise BadInput(f"{folder} holds no folder `derivative`; set dataset.path to a folder in ds003020's layout")
        path = self.folder / "respdict.json"
        if not path.exists():
            raise BadInput(f"{path} does not exist; fetch it: it says how many scans each story has")
        self._scans = read_json(path)
        if not isinstance(self._scans, dict) or not all(type(n) is int for n in self._scans.values()):
            raise BadInput(f"{path} should hold the number of scans of each story: {{story: n}}")

    def stories(self) -> list[str]:
        """Return the stories of respdict.json."""
        return sorted(self._scans)

    def subjects(self) -> list[str]:
        """Return the folders under preprocessed_data."""
        return sorted(path.name for path in (self.folder / "preprocessed_data").glob("*") if path.is_dir())

    def has(self, subject: str, story: str) -> bool:
        """Return whether the hf5 is there (the link of a file that was never fetched does not count)."""
        return self._responses_path(subject, story).exists()

    def timing(self, story: str) -> Timing:
        """Return n - 20 rows of 2 s from 11 s on; BadInput if the story has fewer than two."""
        scans = self._scans[story]
        if scans < _FEWEST_SCANS:
            where = self.folder / "respdict.json"
            raise BadInput(f"{where}: {story} has {scans} scans, at least {_FEWEST_SCANS} needed")
        return Timing(scans - N_TRIMMED, TR_S, FIRST_TR_S)

    def words(self, story: str) -> pd.DataFrame:
        """Return the words of the story's TextGrid."""
        return read_words(self.folder / "TextGrids" / f"{story}.TextGrid", self._rules)

    @contextmanager
    def responses(self, subject: str, story: str) -> Iterator[Responses]:
        """Yield the open hf5 of the subject's responses."""
        with open_responses(self._responses_path(subject, story)) as responses:
            check_rows(responses, self.timing(story).n_trs, f"the story's number in respdict.json less {N_TRIMMED}")
            yield responses

    def sentences(self, story: str) -> pd.DataFrame | None:
        """Return the sentences of gold/sentences.csv."""
        table = self._gold_of(story)
        return None if table is None else table[_SENTENCE_COLUMNS[1:]]

    def gold_properties(self) -> pd.DataFrame | None:
        """Return gold/properties.csv."""
        path = self.folder / "gold" / "properties.csv"
        return read_csv(path, ["property", "question"]) if path.exists() else None

    def gold(self, story: str) -> pd.DataFrame | None:
        """Return the 0/1 columns of gold/sentences.csv as bool."""
        table, properties = self._gold_of(story), self.gold_properties()
        return None if table is None or properties is None else table[["index", *properties["property"]]]

    def voxels(self, subject: str) -> pd.DataFrame | None:
        """Return voxels/SUBJECT.csv."""
        path = self.folder / "voxels" / f"{subject}.csv"
        return read_voxels(path) if path.exists() else None

    def _responses_path(self, subject: str, story: str) -> Path:
        return self.folder / "preprocessed_data" / subject / f"{story}.hf5"

    @cached_property
    def _gold_table(self) -> pd.DataFrame | None:
        path, properties = self.folder / "gold" / "sentences.csv", self.gold_properties()
        if not path.exists():
            return None
        names = [] if properties is None else properties["property"].tolist()
        table = read_csv(path, _SENTENCE_COLUMNS + names)
        refuse_rows(path, {"gold answers are 0 or 1": ~table[names].isin(["0", "1"]).all(axis=1)})
        for column in ("index", "first_word", "last_word"):
            table[column] = read_numbers(path, table, column).astype(np.int32)
        return table.assign(**{name: table[name] == "1" for name in names})

    def _gold_of(self, story: str) -> pd.DataFrame | None:
        if self._gold_table is None or not (self._gold_table["story"] == story).any():
            return None
        return self._gold_table[self._gold_table["story"] == story].reset_index(drop=True)


def _checks(folder: Path, rules: LabelRules = NO_RULES) -> list[Check]:
    """Return the checks of all files that the adapter reads, and of what beside them it does not."""
    root = folder / "derivative"
    if not root.is_dir():
        raise BadInput(f"{folder} holds no folder `derivative`; give the folder above it")
    scans, problems = _read_scans(root / "respdict.json")
    subjects = sorted(path for path in (root / "preprocessed_data").glob("*") if path.is_dir())
    grids = {path.stem for path in (root / "TextGrids").glob("*.TextGrid")}
    heard = {path.stem for subject in subjects for path in subject.glob("*.hf5")}
    compared = Compared()
    checks = [Check("derivative/respdict.json", lambda: problems)]
    for story in sorted(scans.keys() | grids | heard):
        path = root / "TextGrids" / f"{story}.TextGrid"
        checks.append(Check(_place(folder, path), partial(_check_story, path, scans.get(story), rules)))
    if not subjects:
        checks.append(Check("derivative/preprocessed_data", lambda: [("ERROR", "holds no folder of a subject")]))
    for subject in subjects:
        checks.append(Check(_place(folder, subject), partial(_check_subject, subject, scans)))
        for path in sorted(subject.glob("*.hf5")):
            open_hf5, rows = partial(open_responses, path), _rows(path.stem, scans)
            recorded = Recorded(subject.name, _place(folder, path), open_hf5, rows)
            checks.append(Check(recorded.place, partial(_check_hf5, path, recorded, compared)))
    return checks + _extras(folder, [subject.name for subject in subjects], compared, rules)


def _read_scans(path: Path) -> tuple[dict[str, int], list[Problem]]:
    """Return the scans of the stories whose entry is right, and what is wrong with the others."""
    try:
        pairs = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=list)
        if not all(len(pair) == 2 and isinstance(pair[0], str) for pair in pairs):
            raise ValueError("not of the form {story: number of scans}")
    except FileNotFoundError:
        return {}, [("ERROR", f"{absent(path)}; without it no story can be used")]
    except (ValueError, TypeError) as error:
        return {}, [("ERROR", f"can't be read ({error}); it should hold {{story: number of scans}}")]
    problems: list[Problem] = []
    scans = {}
    for story, count in Counter(story for story, _ in pairs).items():
        if count > 1:
            problems.append(("ERROR", f"{story} is there {count} times; keep the right number"))
    for story, number in pairs:
        if type(number) is not int:
            problems.append(("ERROR", f"{story}: the number of scans should be a whole number, not {number!r}"))
        elif number < _FEWEST_SCANS:
            problems.append(("ERROR", f"{story} has {number} scans, at least {_FEWEST_SCANS} are needed"))
        else:
            scans[story] = number
    return scans, [*problems, ("OK", f"{len(scans)} stories, {sum(scans.values())} scans")]


def _rows(story: str, scans: dict[str, int]) -> tuple[int, str] | None:
    if story not in scans:
        return None
    return scans[story] - N_TRIMMED, f"the {scans[story]} scans of respdict.json less {N_TRIMMED}"


def _check_story(path: Path, scans: int | None, rules: LabelRules) -> Iterator[Problem]:
    if scans is None:
        yield "WARNING", f"the story `{path.stem}` is not in respdict.json (or wrong there) and can't be used"
    if not path.exists():
        yield "ERROR", f"{absent(path)}; a story needs its words"
        return
    timing = None if scans is None else Timing(scans - N_TRIMMED, TR_S, FIRST_TR_S)
    yield from check_textgrid(path, timing, None if scans is None else scans * TR_S - SOUND_START_S, rules)


def _check_subject(folder: Path, scans: dict[str, int]) -> Iterator[Problem]:
    there = {path.stem for path in folder.glob("*.hf5") if path.exists()}
    if there:
        yield from check_stories(scans, there)
    elif scans:
        yield "ERROR", "holds no responses"
    others = sorted(path.name for path in folder.iterdir() if path.suffix != ".hf5")
    if others:
        yield "WARNING", f"files that are not read, since they don't end in .hf5: {listed(others)}"
    yield "OK", f"{len(there)} stories"


def _check_hf5(path: Path, recorded: Recorded, compared: Compared) -> Iterator[Problem]:
    if not path.exists():
        yield "WARNING", f"{absent(path)}; the story counts as missing"
        return
    yield from check_responses(recorded, compared)


def _extras(folder: Path, subjects: list[str], compared: Compared, rules: LabelRules) -> list[Check]:
    root = folder / "derivative"
    checks = []
    if (root / "gold").is_dir():
        checks.append(Check("derivative/gold", partial(_check_gold, folder, rules)))
    for path in sorted((root / "voxels").glob("*.csv")):
        checks.append(Check(_place(folder, path), partial(_check_voxels, path, compared)))
    for subject in subjects:
        for path in sorted(root.glob(f"pycortex-db/{subject}/transforms/*/mask_thick.nii.gz")):
            checks.append(Check(_place(folder, path), partial(_check_mask, path, subject, compared)))
    unread = [name for name in ("subject_xfms.json", "pycortex-db") if (root / name).exists()]
    if unread:
        checks.append(Check("derivative", lambda: [("OK", f"not needed and not read: {listed(unread)}")]))
    return checks


def _check_gold(folder: Path, rules: LabelRules) -> Iterator[Problem]:
    source = _Ds003020(folder, rules)
    n_sentences = 0
    for story in source.stories():
        sentences = source.sentences(story)
        source.gold(story)
        if sentences is not None:
            n_sentences += len(sentences)
            yield from _check_sentences(source, story, sentences)
    yield "OK", f"{n_sentences} annotated sentences"


def _check_sentences(source: _Ds003020, story: str, sentences: pd.DataFrame) -> Iterator[Problem]:
    words = unless_bad(partial(source.words, story))
    if words is None:
        return
    try:
        check_sentences(story, sentences, len(words))
    except BadInput as error:
        yield "ERROR", str(error)


def _check_voxels(path: Path, compared: Compared) -> Iterator[Problem]:
    table = read_voxels(path)
    n_voxels, _ = compared.voxels.get(path.stem, (None, ""))
    if n_voxels is not None and int(table["voxel"].max()) >= n_voxels:
        yield "ERROR", f"places voxel {table['voxel'].max()}, but the responses have {n_voxels} (counted from 0)"
    yield "OK", f"{len(table)} voxels"


def _check_mask(path: Path, subject: str, compared: Compared) -> Iterator[Problem]:
    if not path.exists() or subject not in compared.voxels:
        yield "OK", "not compared: not fetched, or no responses to compare with"
        return
    inside = count_inside(path)
    n_voxels, first = compared.voxels[subject]
    if inside != n_voxels:
        yield (
            "WARNING",
            f"the mask holds {inside} voxels, but {first} {n_voxels}: responses of another mask or subject?",
        )
    yield "OK", f"{inside} voxels, as the responses"


def _place(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()


ADAPTER = Adapter(_Ds003020, _checks, mark="derivative/", patterns=("derivative",), has_rules=True)
