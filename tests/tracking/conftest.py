from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from qaemb.tracking import Tracker


@pytest.fixture(scope="session")
def new_tracker(tmp_path_factory) -> Callable[[Path], Tracker]:
    """Return a maker of trackers with empty databases: MLflow needs seconds to make its tables, once is enough."""
    template = Tracker(tmp_path_factory.mktemp("mlflow") / "mlruns")
    template._client().search_experiments()

    def make(mlruns: Path) -> Tracker:
        shutil.copytree(template.mlruns, mlruns)
        return Tracker(mlruns)

    return make
