"""Small annotated stories, a data set generated from them, and settings that name only what these stages read."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from qaemb.datasets.miniature.generate import generate
from qaemb.settings import DatasetSettings, MiniatureSettings, Settings

PROPERTIES = Path(__file__).parents[2] / "data" / "miniature" / "properties.yaml"
STORIES = ("weddingcake", "mountainfog", "alpha", "beta", "gamma")
SMALL = MiniatureSettings(n_subjects=3, n_voxels=120, n_repeats=[3, 2, 2])
_VOCABULARY = ["the", "a", "boat", "river", "don't", "never", "mother", "slowly", "remembered", "yellow", "Anna's"]


def write_stories(folder: Path, n_sentences: int = 18) -> None:
    """Write properties.yaml and five stories of random words with random annotations, always the same."""
    rng = np.random.default_rng(0)
    (folder / "stories").mkdir(parents=True)
    shutil.copy(PROPERTIES, folder / "properties.yaml")
    ids = [entry["id"] for entry in yaml.safe_load(PROPERTIES.read_text())]
    for story in STORIES:
        lines = [f"# The {story}", ""]
        for number in range(n_sentences):
            words = rng.choice(_VOCABULARY, 10)
            true = " ".join(name for name in ids if rng.random() < 0.3) or "-"
            lines.append(f"{' '.join(words[:4]).capitalize()}, {' '.join(words[4:])}. || {true}")
            lines += [""] if number % 6 == 5 else []
        (folder / "stories" / f"{story}.txt").write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="session")
def story_source(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("source") / "miniature"
    write_stories(folder)
    return folder


@pytest.fixture(scope="session")
def generated(tmp_path_factory, story_source) -> Path:
    """A generated data set that no test changes."""
    folder = tmp_path_factory.mktemp("generated")
    generate(story_source, folder, SMALL)
    return folder


@pytest.fixture
def own_copy(tmp_path, generated) -> Path:
    """A generated data set to break."""
    return Path(shutil.copytree(generated, tmp_path / "source"))


@pytest.fixture
def settings_for() -> Callable[..., Settings]:
    def make(path: Path, **changes) -> Settings:
        values = {
            "name": "small",
            "adapter": "ds003020",
            "path": path,
            "subjects": ["UTS01", "UTS02", "UTS03"],
            "test_stories": ["weddingcake", "mountainfog"],
        }
        return Settings.model_construct(dataset=DatasetSettings(**(values | changes)), miniature=SMALL)

    return make


@pytest.fixture
def small() -> MiniatureSettings:
    return SMALL


@pytest.fixture
def new_source(tmp_path) -> Callable[..., Path]:
    """Stories of one's own to change."""

    def make(n_sentences: int = 18) -> Path:
        folder = tmp_path / "data" / "miniature"
        write_stories(folder, n_sentences)
        return folder

    return make
