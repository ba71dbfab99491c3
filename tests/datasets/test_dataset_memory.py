"""Responses as large as ds003020's stream through the stage: they never stand in memory."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from qaemb.datasets.arrays import voxel_blocks

ROWS, VOXELS = 300, 95_556
STRIPE = slice(50_000, 50_010)

RUN = """
import sys
from pathlib import Path
from qaemb.settings import DatasetSettings, Settings
from qaemb.stages.inputs import dataset
from qaemb.workspace import Workspace

def mib(name):
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1024

section = DatasetSettings(name="big", adapter="ds003020", path=sys.argv[1], subjects=["UTS01"], test_stories=["exam"])
before = mib("VmRSS")
dataset(Settings.model_construct(dataset=section), Workspace(Path(sys.argv[2])))
print("grown", mib("VmHWM") - before)
"""


@pytest.fixture
def big(tmp_path, generated):
    """Two stories of 229 MB each; only a stripe of voxels is not zero, so that the disk holds less."""
    folder = tmp_path / "source" / "derivative"
    (folder / "TextGrids").mkdir(parents=True)
    (folder / "preprocessed_data" / "UTS01").mkdir(parents=True)
    (folder / "respdict.json").write_text(json.dumps({"exam": ROWS + 20, "lesson": ROWS + 20}))
    for story in ("exam", "lesson"):
        shutil.copy(generated / "derivative/TextGrids/alpha.TextGrid", folder / f"TextGrids/{story}.TextGrid")
        with h5py.File(folder / f"preprocessed_data/UTS01/{story}.hf5", "w") as file:
            data = file.create_dataset("data", shape=(ROWS, VOXELS), dtype=np.float64)
            data[:, STRIPE] = np.random.default_rng(0).normal(size=(ROWS, 10))
    yield tmp_path
    shutil.rmtree(tmp_path / "root")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the memory in use from /proc")
def test_memory_stays_far_below_the_size_of_one_story(big):
    command = [sys.executable, "-c", RUN, str(big / "source"), str(big / "root")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    grown = float(done.stdout.split("grown ")[1])
    size = ROWS * VOXELS * 8 / 2**20
    assert grown < size / 2, f"{grown:.0f} MiB for stories of {size:.0f} MiB"
    with h5py.File(big / "root/data/work/dataset/responses/UTS01.h5") as file:
        assert file["data/lesson"].chunks == (ROWS, 1024)
        expected = np.random.default_rng(0).normal(size=(ROWS, 10)).astype(np.float32)
        np.testing.assert_array_equal(file["data/lesson"][:, STRIPE], expected)


@pytest.mark.parametrize("shape", [(300, 95_556), (10, 291, 81_126), (7, 3), (1, 1), (20_000, 5_000)])
def test_blocks_cover_an_array_once_and_stay_small(shape):
    covered = np.zeros(shape[:-2] + shape[-1:], dtype=int)
    for place in voxel_blocks(shape):
        *run, rows, voxels = place
        assert rows == slice(None)
        covered[(*run, voxels)] += 1
        assert (voxels.stop - voxels.start) * shape[-2] * 8 <= max(16 * 2**20, 1024 * shape[-2] * 8)
        assert voxels.start % 1024 == 0
    assert (covered == 1).all()
