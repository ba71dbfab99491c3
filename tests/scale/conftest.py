"""A real Ray cluster of several raylets on this machine, and tiny models that its workers load."""

import shutil
import sys
import tempfile
from pathlib import Path

import pytest

from qaemb.answers.ray_runner import _import_ray
from qaemb.models.folder import make_model
from qaemb.settings import ModelSettings

LOST = {"health_check_period_ms": 500, "health_check_failure_threshold": 3}  # a dead node is noticed in seconds
MEMORY = 80_000_000  # the least object store that a raylet takes


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random Llama, `llm`, and a random BERT, `encoder`."""
    from ..answers.conftest import save_tiny_encoder, save_tiny_llm

    folder = tmp_path_factory.mktemp("models")
    for name, save, kind in (("llm", save_tiny_llm, "causal"), ("encoder", save_tiny_encoder, "encoder")):
        source = tmp_path_factory.mktemp("source")
        save(source)
        make_model(name, ModelSettings(source="folder", path=source, kind=kind), folder / name)
    return folder


@pytest.fixture(scope="session")
def short_folder():
    """A folder with a short name, for Ray's sockets."""
    folder = tempfile.mkdtemp(prefix="q", dir="/tmp")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def cluster(short_folder):
    """A cluster of a head that takes no worker and two nodes of one core each; gone at the end with all processes."""
    _import_ray()  # what it sets must be there before
    from ray import cloudpickle
    from ray.cluster_utils import Cluster

    from . import slow

    cloudpickle.register_pickle_by_value(sys.modules[slow.__name__])  # workers can't import a module of the tests
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TMPDIR", short_folder)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.delenv("RAY_ADDRESS", raising=False)
        head = {"num_cpus": 0, "object_store_memory": MEMORY, "include_dashboard": False, "_system_config": LOST}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        for _ in range(2):
            add_node(cluster)
        cluster.wait_for_nodes()
        yield cluster
        cluster.shutdown()


def add_node(cluster):
    return cluster.add_node(num_cpus=1, object_store_memory=MEMORY)
