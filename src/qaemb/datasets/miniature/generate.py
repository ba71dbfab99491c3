"""Writing the data set: from annotated stories and a seed to a folder in the layout of ds003020."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from qaemb.datasets.ds003020 import N_TRIMMED
from qaemb.datasets.miniature.planting import (
    Cortex,
    ar1_noise,
    grow_cortex,
    n_scans,
    property_time_courses,
    scale_signals,
    zscore,
)
from qaemb.datasets.miniature.speech import Speech, speak, textgrid
from qaemb.datasets.miniature.stories import AnnotatedStory, read_properties, read_stories
from qaemb.errors import BadInput, BadParameter
from qaemb.files import write_json
from qaemb.settings import MiniatureSettings

REPEATED_STORIES = ("mountainfog", "weddingcake")
"""Stories heard several times by every subject: those to test on."""

_MIN_ROWS = 10
_LACKING_SUBJECT = 1  # the second subject lacks a story
_N_NAN_VOXELS = 5  # of the last subject, in every second story


@dataclass(frozen=True)
class _Recording:
    story: AnnotatedStory
    speech: Speech
    time_courses: NDArray[np.float64]
    scans: int


def generate(source: Path, target: Path, settings: MiniatureSettings) -> dict[str, int]:
    """Write the data set into an empty folder and return its response rows per story.

    `source` holds `properties.yaml` and `stories/*.txt`. The same source and settings give the same bytes. BadInput
    names the file and line of a wrong source, BadParameter the key of settings that don't fit together.
    """
    if len(settings.n_repeats) < settings.n_subjects:
        n_values, n_subjects = len(settings.n_repeats), settings.n_subjects
        raise BadParameter(f"miniature.n_repeats has {n_values} values for {n_subjects} subjects; give one each")
    if min(settings.n_repeats) < 2:
        raise BadParameter("miniature.n_repeats: every subject needs at least 2 repeats, for a noise ceiling")
    properties = read_properties(source / "properties.yaml")
    stories = read_stories(source / "stories", properties["property"].tolist())
    missing = [name for name in REPEATED_STORIES if name not in {story.name for story in stories}]
    if missing or len(stories) < len(REPEATED_STORIES) + 2:
        raise BadInput(f"{source / 'stories'}: {', '.join(REPEATED_STORIES)} and at least two other stories are needed")
    recordings = [_speak(story, properties["property"].tolist(), settings.seed) for story in stories]
    folder = target / "derivative"
    _write_texts(folder, recordings, properties)
    subjects = [f"UTS{number:02d}" for number in range(1, settings.n_subjects + 1)]
    write_json(folder / "subject_xfms.json", {subject: f"{subject}_auto" for subject in subjects})
    for number, subject in enumerate(tqdm(subjects, desc="subjects", unit="subject", leave=False)):
        _write_subject(folder, number, subject, recordings, settings)
    return {recording.story.name: len(recording.time_courses) for recording in recordings}


def _rng(seed: int, *names: str) -> np.random.Generator:
    """Return a generator of its own for each purpose, so that adding a story or a subject moves no other."""
    return np.random.default_rng([seed, zlib.crc32("/".join(names).encode())])


def _speak(story: AnnotatedStory, properties: list[str], seed: int) -> _Recording:
    speech = speak(story, _rng(seed, "speech", story.name))
    scans = n_scans(speech.duration_ms / 1000)
    if scans - N_TRIMMED < _MIN_ROWS:
        raise BadInput(
            f"story {story.name} has {len(story.words)} words, too few for a run of responses; about 120 are needed"
        )
    per_sentence = np.array([[name in s.properties for name in properties] for s in story.sentences], dtype=float)
    per_word = np.repeat(per_sentence, [len(sentence.words) for sentence in story.sentences], axis=0)
    return _Recording(story, speech, property_time_courses(speech.middle_s, per_word, scans), scans)


def _write_texts(folder: Path, recordings: list[_Recording], properties: pd.DataFrame) -> None:
    (folder / "TextGrids").mkdir(parents=True)
    (folder / "gold").mkdir()
    write_json(folder / "respdict.json", {recording.story.name: recording.scans for recording in recordings})
    for recording in recordings:
        path = folder / "TextGrids" / f"{recording.story.name}.TextGrid"
        path.write_text(textgrid(recording.speech), encoding="utf-8")
    properties.to_csv(folder / "gold" / "properties.csv", index=False)
    names = properties["property"].tolist()
    sentences = pd.concat([_sentence_table(recording.story, names) for recording in recordings])
    sentences.to_csv(folder / "gold" / "sentences.csv", index=False)


def _sentence_table(story: AnnotatedStory, properties: list[str]) -> pd.DataFrame:
    last = np.cumsum([len(sentence.words) for sentence in story.sentences]) - 1
    first = np.append(0, last[:-1] + 1)
    texts = [sentence.text for sentence in story.sentences]
    table = pd.DataFrame({"story": story.name, "index": range(len(last)), "first_word": first, "last_word": last})
    gold = {name: [int(name in sentence.properties) for sentence in story.sentences] for name in properties}
    return table.assign(text=texts, **gold)


def _write_subject(
    folder: Path, number: int, subject: str, recordings: list[_Recording], settings: MiniatureSettings
) -> None:
    properties = pd.read_csv(folder / "gold" / "properties.csv")["property"].tolist()
    cortex = grow_cortex(settings.n_voxels, properties, _rng(settings.seed, "cortex", subject))
    (folder / "voxels").mkdir(exist_ok=True)
    cortex.table.to_csv(folder / "voxels" / f"{subject}.csv", index=False)
    signals = _planted_signals(cortex, [recording.time_courses for recording in recordings], settings.signal_to_noise)
    train = [recording.story.name for recording in recordings if recording.story.name not in REPEATED_STORIES]
    is_last = number == settings.n_subjects - 1
    nan_voxels = _rng(settings.seed, "nan", subject).choice(settings.n_voxels, _N_NAN_VOXELS, replace=False)
    (folder / "preprocessed_data" / subject).mkdir(parents=True)
    for i, (recording, signal) in enumerate(zip(recordings, signals, strict=True)):
        name = recording.story.name
        if number == _LACKING_SUBJECT and name == train[-1]:
            continue
        n_runs = settings.n_repeats[number] if name in REPEATED_STORIES else 1
        rng = _rng(settings.seed, "noise", subject, name)
        runs = np.stack([zscore(signal + ar1_noise(signal.shape, settings.noise_ar, rng)) for _ in range(n_runs)])
        if is_last and i % 2 == 0:
            runs[:, :, nan_voxels] = np.nan
        _write_responses(folder / "preprocessed_data" / subject / f"{name}.hf5", runs)


def _planted_signals(
    cortex: Cortex, time_courses: list[NDArray[np.float64]], signal_to_noise: float
) -> list[NDArray[np.float64]]:
    """Return the noiseless responses of each run, (rows, voxels), scaled against noise of variance 1."""
    return scale_signals([courses @ cortex.weights for courses in time_courses], signal_to_noise * cortex.gain)


def _write_responses(path: Path, runs: NDArray[np.float64]) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        file["data"] = runs.mean(axis=0)
        if len(runs) > 1:
            file["individual_repeats"] = runs
