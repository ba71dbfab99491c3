"""A driver to be killed: `driver.py ADDRESS MODELS SEEN STORE` answers the grid slowly and prints the cells.

ADDRESS `none`: on a cluster that it starts itself.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import slow
from ray import cloudpickle
from slow import BLOCK, Opener, grid

from qaemb.answers.ray_runner import RayRunner
from qaemb.answers.stored import Stored
from qaemb.settings import RaySettings

if __name__ == "__main__":
    cloudpickle.register_pickle_by_value(slow)  # workers can't import it
    address, (models, seen, store) = sys.argv[1], map(Path, sys.argv[2:])
    opener = Opener(models, seen)
    with RayRunner(opener, RaySettings(address=None if address == "none" else address)) as runner:
        stored = Stored("llm", opener("llm"), store, runner)
        print(stored.run(grid(), stored.plan(grid(), BLOCK), "test").cells, flush=True)
