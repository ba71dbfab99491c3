"""dvc.yaml names everything that a stage's results depend on: settings, and the code that makes them.

What a stage reads is found by mypy's types (reachable.py), not listed by hand.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import yaml

from .reachable import Package, Reached, all_keys, stage_function

pytestmark = pytest.mark.timeout(1500)  # mypy reads the whole package without a cache

ROOT = Path(__file__).parents[1]
PROFILES = (ROOT / "data" / "profiles").glob("*.yaml")
PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
LISTS = ("deps", "params", "outs", "metrics")

# Settings that no result depends on, and why.
NO_RESULT = {
    "answers.store": "where answers are kept; the same store gives the same matrix, and another one answers anew",
    "answers.block_texts": "how many texts are kept in a file",
    "answers.ray.*": "where answers are computed",
    "answers.spec.*.batch_tokens": "size of a forward pass; no part of the answerer's key",
    "answers.spec.*.threads": "speed; no part of the answerer's key",
    "answers.spec.*.vllm.*": "memory and speed; no part of the answerer's key",
    "answers.spec.*.server.url": "where the server is; its `model` and `label` are in the answerer's key",
    "answers.spec.*.server.api_key_env": "who pays",
    "answers.spec.*.server.concurrency": "speed",
    "answers.spec.*.server.timeout_s": "how long a request may take",
    "answers.spec.*.server.max_retries": "how often a request is tried",
    "answers.spec.*.server.usd_per_million_tokens": "what the plan says about the price",
    "encode.voxel_block": "memory: voxels that are read at once",
    "encode.threads": "speed",
    "encode.backend": "which library does the sums; scores agree to rounding, and params.yaml need not name it",
}

_JOB = "the job's matrix and its `spec.json`, which the stage depends on, change with it"
_KEY = "data/work/answerers/NAME.json holds what is in the answerer's key"
_DATASET = "data/work/dataset changes with it"
_SEGMENTS = "data/work/segments changes with it"
_MLFLOW = "only names the experiment and its runs in MLflow"

# Settings that a stage depends on through a file, and which file that is.
THROUGH_FILES: dict[str, dict[str, str]] = {
    "distill": {
        "answers.jobs.*": _JOB,
        "answers.spec.*": "the trained model alone is asked, under settings that the stage writes itself",
        "dataset.test_stories": _DATASET,
        "model.*": "data/work/models/NAME changes with it",
        "segments.*.kind": _SEGMENTS,
    },
    "answers": {"answers.spec.*": _KEY},
    "validate": {"answers.jobs.*": _JOB, "segments.*.kind": _SEGMENTS},
    "features": {"answers.jobs.*.segmentation": _JOB, "segments.*": _SEGMENTS},
    "encode": {
        "dataset.name": _MLFLOW,
        "dataset.subjects": _DATASET,
        "dataset.test_stories": _DATASET,
        "encode.spaces": "data/work/designs/NAME.json lists the spaces of a model",
        "features.spaces.*.jobs": "data/work/designs/NAME.json has the digest of the values, which change with it",
    },
    "interpret": {
        "dataset.name": _MLFLOW,
        "dataset.subjects": _DATASET,
        "encode.banded": "data/work/encoding/NAME changes with it",
        "encode.spaces": "data/work/designs/NAME.json lists the spaces of a model",
        "interpret.models": "the names of the stage's own items",
    },
    "select": {"dataset.subjects": _DATASET},
    "publish": {"answers.jobs.*": _JOB},
    "downstream": {"answers.spec.*": _KEY},
}

# Code that may change without a new run, and why. Of all stages:
_NO_CODE = {
    "src/qaemb/errors.py": "messages",
    "src/qaemb/files.py": "how files are written, not what",
    "src/qaemb/identity.py": "hashes; another hash is another name of everything",
    "src/qaemb/rows.py": "how lists of the user are checked",
    "src/qaemb/settings/*": "the values are dependencies",
    "src/qaemb/workspace.py": "where files are",
}
_ANSWERERS = "an answerer's key stands for its code: a refactoring must not buy answers twice"
NO_CODE: dict[str, dict[str, str]] = {
    "answers": {"src/qaemb/*": _ANSWERERS},
    "downstream": {
        "src/qaemb/answers/*": _ANSWERERS,
        "src/qaemb/stages/answers.py": _ANSWERERS,
        "src/qaemb/stimuli/*": _ANSWERERS,
    },
    "distill": {"src/qaemb/answers/*": _ANSWERERS, "src/qaemb/stimuli/*": _ANSWERERS},
    "publish": {"src/qaemb/answers/blocks.py": "one constant: the time of answers that have none"},
}


@dataclass(frozen=True)
class Stage:
    """What dvc.yaml lists of a stage; `*` stands for the name of an item."""

    name: str
    deps: list[str]
    params: list[str]


def _stages() -> Iterator[Stage]:
    for name, stage in PIPELINE.items():
        body = stage.get("do", stage)
        yield Stage(name, body["deps"], [one.replace("${key}", "*") for one in body.get("params", [])])


STAGES = {stage.name: stage for stage in _stages()}


@pytest.fixture(scope="module")
def package() -> Package:
    return Package()


@pytest.fixture(scope="module")
def reached(package: Package) -> dict[str, Reached]:
    """What each stage reaches; what it logs in MLflow is no result."""
    return {name: package.reached(stage_function(name), without=("qaemb.tracking",)) for name in STAGES}


def _matches(key: str, patterns: dict[str, str]) -> set[str]:
    return {pattern for pattern in patterns if fnmatchcase(key, pattern)}


def _is_under(name: str, folder: str, separator: str) -> bool:
    return name == folder or name.startswith(folder + separator)


def test_nothing_is_listed_twice() -> None:
    for name, stage in PIPELINE.items():
        for part in LISTS:
            listed = [str(one) for one in stage.get("do", stage).get(part, [])]
            assert len(listed) == len(set(listed)), f"{name}: {part}"


def test_code_that_a_stage_depends_on_is_there() -> None:
    for stage in STAGES.values():
        for path in stage.deps:
            assert not path.startswith("src/") or (ROOT / path).exists(), f"{stage.name}: {path}"


@pytest.mark.parametrize("file", ["params.yaml", *sorted(f"data/profiles/{path.name}" for path in PROFILES)])
def test_keys_that_a_stage_depends_on_are_written(file: str) -> None:
    """DVC refuses a stage whose parameter is not in params.yaml, even where it has a default."""
    values = yaml.safe_load((ROOT / file).read_text())
    for stage in STAGES.values():
        for key in (param for param in stage.params if "*" not in param):
            section, *names = key.split(".")
            if section in values or file == "params.yaml":
                value = values[section]
                for name in names:
                    assert name in value, f"{file} lacks {key}, which dvc.yaml lists for {stage.name}"
                    value = value[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", STAGES)
def test_a_stage_depends_on_every_key_that_it_reads(reached: dict[str, Reached], name: str) -> None:
    excused = NO_RESULT | THROUGH_FILES.get(name, {})
    assert {key for key in reached[name].keys if not _listed(name, key) and not _matches(key, excused)} == set()


@pytest.mark.slow
@pytest.mark.parametrize("name", STAGES)
def test_a_stage_depends_on_the_code_that_it_runs(reached: dict[str, Reached], name: str) -> None:
    excused = _NO_CODE | NO_CODE.get(name, {})
    unlisted = {file for file in reached[name].files if not any(_is_under(file, dep, "/") for dep in STAGES[name].deps)}
    assert {file for file in unlisted if not _matches(file, excused)} == set()


@pytest.mark.slow
def test_every_exception_is_needed(reached: dict[str, Reached]) -> None:
    keys = {name: {key for key in found.keys if not _listed(name, key)} for name, found in reached.items()}
    for name, patterns in THROUGH_FILES.items():
        used = set().union(*(_matches(key, patterns) for key in keys[name]))
        assert used == set(patterns), name
    assert set().union(*(_matches(key, NO_RESULT) for key in all_keys())) == set(NO_RESULT)
    for name, patterns in NO_CODE.items():
        assert set().union(*(_matches(file, patterns) for file in reached[name].files)) == set(patterns), name


@pytest.mark.slow
def test_reads_are_found_through_calls_classes_and_dumps(reached: dict[str, Reached]) -> None:
    assert "encode.n_band_candidates" in reached["encode"].keys  # far below the stage
    assert "src/qaemb/encoding/solvers.py" in reached["encode"].files
    assert "validate.drift.*.max_ks" in reached["validate"].keys  # of a section that another section makes
    assert "miniature.seed" not in reached["dataset"].keys  # of a function beside it in one file
    assert "src/qaemb/features/static.py" in reached["features"].files  # through a table of functions


def _listed(name: str, key: str) -> bool:
    return any(_is_under(key, param, ".") for param in STAGES[name].params)
