"""Planted worlds for selection: 12 questions, of which the first three drive the responses of two subjects, or none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml

from qaemb.encoding.recording import Recording, open_recordings
from qaemb.features.space import Space, write_space
from qaemb.files import write_table
from qaemb.settings import Settings
from qaemb.workspace import Workspace

PARAMS = Path(__file__).parents[2] / "params.yaml"
LENGTHS = {"a": 70, "b": 60, "c": 80, "d": 65, "x": 90}


class World:
    """Question 3 is nearly question 0; S2 lacks story b; one voxel of S1 has a NaN.

    Without `planted`, no question matters: all voxels share one course of noise, as if there were only one.
    """

    n_voxels = 24
    names = tuple(f"Is it number {i}?" for i in range(12))

    def __init__(self, root: Path, planted: bool = True, seed: int = 0) -> None:
        self.workspace = Workspace(root)
        rng = np.random.default_rng(seed)
        values = {story: rng.standard_normal((n, 12)).astype(np.float32) for story, n in LENGTHS.items()}
        for own in values.values():
            own[:, 3] = own[:, 0] + 0.3 * own[:, 3]
        self.space = Space(list(self.names), values)
        rows = [(story, "test" if story == "x" else "train", n, 2.0, 1.0) for story, n in LENGTHS.items()]
        self.stories = pd.DataFrame(rows, columns=["story", "split", "n_trs", "tr_s", "first_tr_s"])
        write_table(self.workspace.dataset / "stories.parquet", self.stories)
        write_space(self.workspace.features("qa") / "features.parquet", self.space)
        (self.workspace.dataset / "responses").mkdir()
        for subject, lacking in (("S1", ""), ("S2", "b")):
            weights = rng.standard_normal((3, self.n_voxels))
            with h5py.File(self.workspace.dataset / "responses" / f"{subject}.h5", "w") as file:
                for story, own in values.items():
                    if story != lacking:
                        late = np.vstack([np.zeros((1, 3)), own[:-1, :3]]) @ weights
                        response = late + 2 * rng.standard_normal(late.shape)
                        if not planted:
                            response = rng.standard_normal((len(own), 1)) + 0.1 * rng.standard_normal(late.shape)
                        if (subject, story) == ("S1", "c"):
                            response[3, 5] = np.nan
                        file[f"data/{story}"] = response.astype(np.float32)

    def settings(self, **select) -> Settings:
        values = yaml.safe_load(PARAMS.read_text())
        values["distill"] = {}
        values["dataset"] |= {"name": "planted", "subjects": ["S1", "S2"], "test_stories": ["x"]}
        values["features"]["spaces"] = {"qa": {"kind": "word_rate", "input": "x"}}
        own = {"delays": [1, 2], "alphas_log10": (0, 4, 5), "n_folds": 3, "spaces": {"qa": ["qa"]}}
        values["encode"] = own | {"protocol": select.pop("protocol", "strict"), "voxel_block": 10}
        values["select"] |= {"spaces": ["qa"], "n_alphas": 8, "n_random": 3, "sizes": [], **select}
        return Settings.model_validate(values)

    def recordings(self, space: Space | None = None) -> list[Recording]:
        folder = self.workspace.dataset / "responses"
        return open_recordings(["S1", "S2"], space or self.space, self.stories, [1, 2], folder)


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> World:
    return World(tmp_path_factory.mktemp("world"))


@pytest.fixture
def noise_world(tmp_path) -> Callable[[int], World]:
    """Seed -> a world in which no question matters."""
    return lambda seed: World(tmp_path / str(seed), planted=False, seed=seed)
