"""The checks of a folder in the layout of ds003020."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pandas as pd

from qaemb.datasets.arrays import open_responses
from qaemb.datasets.bids.images import count_inside
from qaemb.datasets.doctor.arrays import Compared, Recorded, check_responses
from qaemb.datasets.doctor.findings import Check, Problem, absent, listed
from qaemb.datasets.doctor.transcripts import check_textgrid
from qaemb.datasets.ds003020 import FIRST_TR_S, N_TRIMMED, SOUND_START_S, TR_S, Ds003020
from qaemb.datasets.source import Timing
from qaemb.datasets.voxels import read_voxels
from qaemb.datasets.write import check_sentences
from qaemb.errors import BadInput

_FEWEST_SCANS = N_TRIMMED + 2


def ds003020_checks(folder: Path) -> list[Check]:
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
        checks.append(Check(_place(folder, path), partial(_check_story, path, scans.get(story))))
    if not subjects:
        checks.append(Check("derivative/preprocessed_data", lambda: [("ERROR", "holds no folder of a subject")]))
    for subject in subjects:
        checks.append(Check(_place(folder, subject), partial(_check_subject, subject, scans)))
        for path in sorted(subject.glob("*.hf5")):
            of = Recorded(subject.name, _place(folder, path), partial(open_responses, path), _rows(path.stem, scans))
            checks.append(Check(of.place, partial(_check_hf5, path, of, compared)))
    return checks + _extras(folder, [subject.name for subject in subjects], compared)


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


def _check_story(path: Path, scans: int | None) -> Iterator[Problem]:
    if scans is None:
        yield "WARNING", f"the story `{path.stem}` is not in respdict.json (or wrong there) and can't be used"
    if not path.exists():
        yield "ERROR", f"{absent(path)}; a story needs its words"
        return
    timing = None if scans is None else Timing(scans - N_TRIMMED, TR_S, FIRST_TR_S)
    yield from check_textgrid(path, timing, None if scans is None else scans * TR_S - SOUND_START_S)


def _check_subject(folder: Path, scans: dict[str, int]) -> Iterator[Problem]:
    there = {path.stem for path in folder.glob("*.hf5") if path.exists()}
    missing = sorted(scans.keys() - there)
    if missing and there:
        yield "WARNING", f"lacks {len(missing)} of {len(scans)} stories: {listed(missing)}"
    elif missing:
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


def _extras(folder: Path, subjects: list[str], compared: Compared) -> list[Check]:
    root = folder / "derivative"
    checks = []
    if (root / "gold").is_dir():
        checks.append(Check("derivative/gold", partial(_check_gold, folder)))
    for path in sorted((root / "voxels").glob("*.csv")):
        checks.append(Check(_place(folder, path), partial(_check_voxels, path, compared)))
    for subject in subjects:
        for path in sorted(root.glob(f"pycortex-db/{subject}/transforms/*/mask_thick.nii.gz")):
            checks.append(Check(_place(folder, path), partial(_check_mask, path, subject, compared)))
    unread = [name for name in ("subject_xfms.json", "pycortex-db") if (root / name).exists()]
    if unread:
        checks.append(Check("derivative", lambda: [("OK", f"not needed and not read: {listed(unread)}")]))
    return checks


def _check_gold(folder: Path) -> Iterator[Problem]:
    source = Ds003020(folder)
    n_sentences = 0
    for story in source.stories():
        sentences = source.sentences(story)
        source.gold(story)
        if sentences is not None:
            n_sentences += len(sentences)
            yield from _check_sentences(source, story, sentences)
    yield "OK", f"{n_sentences} annotated sentences"


def _check_sentences(source: Ds003020, story: str, sentences: pd.DataFrame) -> Iterator[Problem]:
    try:
        n_words = len(source.words(story))
    except BadInput:  # the TextGrid has a check of its own
        return
    try:
        check_sentences(story, sentences, n_words)
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
