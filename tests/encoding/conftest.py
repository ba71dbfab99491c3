"""A small planted world: features, and responses that follow them through delays, with noise, repeats and faults."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml

from qaemb.features.space import Space, write_space
from qaemb.files import write_table
from qaemb.settings import EncodeSettings, Settings
from qaemb.workspace import Workspace

PARAMS = Path(__file__).parents[2] / "params.yaml"
LENGTHS = {"a": 60, "b": 50, "c": 70, "d": 55, "e": 64, "x": 80, "y": 60}  # x and y are the test stories
N_FEATURES, N_VOXELS, N_REPEATS = 6, 30, 5
NAN_VOXEL, FLAT_VOXEL, NOISE_VOXELS = 3, 7, slice(20, 30)


class World:
    """Subject S1 heard everything, S2 lacks story c; voxels 20 on are noise, 3 has a NaN, 7 never varies in x."""

    n_features, n_voxels = N_FEATURES, N_VOXELS
    nan_voxel, flat_voxel, noise_voxels = NAN_VOXEL, FLAT_VOXEL, NOISE_VOXELS
    lengths = LENGTHS

    def __init__(self, root: Path) -> None:
        self.workspace = Workspace(root)
        rng = np.random.default_rng(0)
        raw = {story: rng.standard_normal((n, N_FEATURES)).astype(np.float32) for story, n in LENGTHS.items()}
        self.space = Space([f"q{i}" for i in range(N_FEATURES)], raw)
        self.splits = {story: "test" if story in "xy" else "train" for story in LENGTHS}
        rows = [(story, self.splits[story], n, 2.0, 1.0) for story, n in LENGTHS.items()]
        columns = ["story", "split", "n_trs", "tr_s", "first_tr_s"]
        self.stories = pd.DataFrame(rows, columns=columns)
        write_table(self.workspace.dataset / "stories.parquet", self.stories)
        write_space(self.workspace.features("qa") / "features.parquet", self.space)
        noise = {story: rng.standard_normal((n, 2)).astype(np.float32) for story, n in LENGTHS.items()}
        write_space(self.workspace.features("junk") / "features.parquet", Space(["j0", "j1"], noise))
        (self.workspace.dataset / "responses").mkdir()
        for subject, lacking in (("S1", ""), ("S2", "c")):
            self._respond(rng, self.responses / f"{subject}.h5", lacking)

    @property
    def responses(self) -> Path:
        return self.workspace.dataset / "responses"

    def _respond(self, rng: np.random.Generator, path: Path, lacking: str) -> None:
        weights = rng.standard_normal((2, N_FEATURES, N_VOXELS))
        weights[:, :, NOISE_VOXELS] = 0
        with h5py.File(path, "w") as file:
            for story, values in self.space.values.items():
                if story in lacking:
                    continue
                signal = sum(np.vstack([np.zeros((d, N_FEATURES)), values[:-d]]) @ weights[d - 1] for d in (1, 2))
                repeats = signal + 3 * rng.standard_normal((N_REPEATS, *signal.shape))
                if story == "b":
                    repeats[0, 5, NAN_VOXEL] = np.nan
                if story == "x":
                    repeats[:, :, FLAT_VOXEL] = 0.0
                file[f"data/{story}"] = repeats.mean(axis=0).astype(np.float32)
                if story == "x":
                    file[f"repeats/{story}"] = repeats.astype(np.float32)

    def encode_settings(self, **changes) -> EncodeSettings:
        own = {"delays": [1, 2], "alphas_log10": (0, 4, 5), "n_folds": 3, "n_permutations": 200, "block_trs": 15}
        return EncodeSettings.model_validate({**own, "spaces": {"qa": ["qa"]}, **changes})

    def settings(self, **encode) -> Settings:
        values = yaml.safe_load(PARAMS.read_text())
        values["distill"] = {}
        values["dataset"] |= {"name": "planted", "subjects": ["S1", "S2"], "test_stories": ["x", "y"]}
        values["features"]["spaces"] = {name: {"kind": "word_rate", "input": "x"} for name in ("qa", "junk")}
        values["encode"] = self.encode_settings(**encode).model_dump()
        values["select"]["spaces"] = []
        return Settings.model_validate(values)


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> World:
    return World(tmp_path_factory.mktemp("world"))
