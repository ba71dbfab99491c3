"""The two forms in which lebel_pcs lies on disk, behind the same methods; see `lebel_pcs.py`."""

from __future__ import annotations

import zipfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from qaemb.datasets.pickles import read_frame
from qaemb.errors import BadInput
from qaemb.files import read_json

_SPLITS = ("train", "test")


class RepackedForm:
    """`texts.json`, one npz per subject, `gpt4_labels.npz`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stories = _read_texts(folder / "texts.json")
        self.splits = {story: entry["split"] for story, entry in self._stories.items()}
        self._labels_path = folder / "gpt4_labels.npz"
        self._names = sorted(path.stem for path in folder.glob("*.npz"))
        self._arrays = lru_cache(maxsize=None)(lambda name: _open_npz(folder / f"{name}.npz"))

    def subjects(self) -> list[str]:
        """Return the npz files but the labels."""
        return [name for name in self._names if name != self._labels_path.stem]

    def has(self, subject: str, story: str) -> bool:
        """Return whether the subject's npz holds the story."""
        return subject in self._names and story in self._arrays(subject).files

    def texts(self, story: str) -> list[str]:
        """Return the texts of texts.json."""
        return self._stories[story]["texts"]

    def components(self, subject: str, story: str) -> tuple[str, np.ndarray]:
        """Return path and array of the story in the subject's npz."""
        path = self._folder / f"{subject}.npz"
        return str(path), _read_array(path, self._arrays(subject), story)

    def labels(self, story: str) -> tuple[str, pd.DataFrame] | None:
        """Return path and labels of the story, named by `questions`."""
        if not self._labels_path.exists():
            return None
        arrays = self._arrays(self._labels_path.stem)
        values = _read_array(self._labels_path, arrays, story)
        questions = _read_array(self._labels_path, arrays, "questions").tolist()
        if values.ndim != 2 or values.shape[1] != len(questions):
            raise BadInput(
                f"{self._labels_path}: {story} is {values.shape}, expected (TRs, {len(questions)} questions)"
            )
        return str(self._labels_path), pd.DataFrame(values, columns=questions)


class PublishedForm:
    """Pickled data frames, one per subject and story, in folders `train` and `test`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        paths = [p for split in _SPLITS for p in sorted(folder.glob(f"*/{split}/*.pkl")) if p.parts[-3] != "labels"]
        self._paths = {(path.parts[-3], path.stem): path for path in paths}
        self.splits = {path.stem: path.parent.name for path in paths}
        self._read = lru_cache(maxsize=4)(read_frame)  # texts and components of a story are in one file

    def subjects(self) -> list[str]:
        """Return the folders with stories."""
        return sorted({subject for subject, _ in self._paths})

    def has(self, subject: str, story: str) -> bool:
        """Return whether the subject has a file of the story."""
        return (subject, story) in self._paths

    def texts(self, story: str) -> list[str]:
        """Return the index of the story's frame, of the first subject that has it."""
        path = next(self._paths[key] for key in sorted(self._paths) if key[1] == story)
        texts = self._read(path).index.tolist()
        if not all(isinstance(text, str) for text in texts):
            raise BadInput(f"{path}: the index should be the words of each TR")
        return texts

    def components(self, subject: str, story: str) -> tuple[str, np.ndarray]:
        """Return path and columns PC0, PC1, .. of the subject's frame."""
        path = self._paths[subject, story]
        frame = self._read(path)
        columns = [column for column in frame.columns if str(column).startswith("PC")]
        if not columns:
            raise BadInput(f"{path} has no columns PC0, PC1, ..")
        return str(path), frame[columns].to_numpy(np.float32)

    def labels(self, story: str) -> tuple[str, pd.DataFrame] | None:
        """Return path and labels of the story, if there."""
        path = self._folder / "labels" / self.splits[story] / f"{story}_labels.pkl"
        return (str(path), self._read(path).reset_index(drop=True)) if path.exists() else None


def _read_texts(path: Path) -> dict[str, Any]:
    stories = read_json(path)
    if not isinstance(stories, dict):
        raise BadInput(f"{path} should hold {{story: {{split, texts}}}}")
    for story, entry in stories.items():
        if not isinstance(entry, dict) or entry.get("split") not in _SPLITS:
            raise BadInput(f"{path}: story {story} needs `split`, train or test")
        texts = entry.get("texts")
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise BadInput(f"{path}: story {story} needs `texts`, the words of each TR as one string")
    return stories


def _open_npz(path: Path) -> Any:
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise BadInput(f"{path} can't be read as npz ({error}): cut off or damaged; fetch it again") from error


def _read_array(path: Path, arrays: Any, name: str) -> np.ndarray:
    try:
        return arrays[name]
    except KeyError as error:
        raise BadInput(f"{path} has no array `{name}`") from error
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise BadInput(f"{path}: array `{name}` can't be read ({error})") from error
