"""The benchmarks are run from the project's root; their tests find them there, too."""

import sys
from pathlib import Path

import pytest

from qaemb.models.folder import make_model
from qaemb.settings import ModelSettings

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))


@pytest.fixture(scope="session")
def tiny_llm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with a random two-layer Llama, as the tests of the engines use it."""
    from ..answers.conftest import save_tiny_llm

    source = tmp_path_factory.mktemp("tiny_llm")
    save_tiny_llm(source)
    folder = tmp_path_factory.mktemp("models") / "tiny"
    make_model("tiny", ModelSettings(source="folder", path=source, kind="causal"), folder)
    return folder
