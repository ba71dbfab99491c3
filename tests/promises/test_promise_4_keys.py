"""Promise 4: anything that changes an answer changes the key, and nothing else does."""

import json
import shutil
from importlib.resources import files

import pytest
import yaml

from benchmarks.store.project import Project
from qaemb.workspace import Workspace

from ..answers.conftest import save_tiny_llm
from .conftest import qaemb

BASE = {"engine": "shared", "model": "one", "prompt": "text_first", "dtype": "float32"}
SAME = {
    "engine": {"engine": "reference"},
    "threads": {"threads": 1},
    "batch": {"batch_tokens": 128},
    "copied_model": {"model": "copy"},
}
OTHER = {
    "order": {"prompt": "question_first"},
    "dtype": {"dtype": "bfloat16"},
    "weights": {"model": "two"},
    "prompt_words": {"prompt": "./mine.yaml"},
    "label_words": {"prompt": "./labels.yaml"},
}


@pytest.fixture(scope="module")
def keys(tmp_path_factory) -> dict[str, str]:
    project = Project(tmp_path_factory.mktemp("keys") / "project", 10, 2).write()
    sources = {name: tmp_path_factory.mktemp(name) for name in ("one", "two", "copy")}
    save_tiny_llm(sources["one"], seed=0)
    save_tiny_llm(sources["two"], seed=1)
    shutil.copytree(sources["one"], sources["copy"], dirs_exist_ok=True)
    params = yaml.safe_load((project.folder / "params.yaml").read_text())
    params["model"] = {
        name: {"source": "folder", "path": str(path), "kind": "causal"} for name, path in sources.items()
    }
    specs = {"base": BASE, **{name: BASE | change for name, change in (SAME | OTHER).items()}}
    params["answers"]["spec"] |= specs
    params["answers"]["jobs"] |= {name: {"answerer": name, "segmentation": "tr", "set": "all"} for name in specs}
    params["distill"] = {"students": {}}
    (project.folder / "params.yaml").write_text(yaml.safe_dump(params))
    prompt = yaml.safe_load(_shipped_prompt())
    (project.folder / "mine.yaml").write_text(yaml.safe_dump(prompt | {"system": "Answer in one word."}))
    (project.folder / "labels.yaml").write_text(yaml.safe_dump(prompt | {"yes_label": "A", "no_label": "B"}))
    for name in sources:
        done = qaemb(project, "model", "--model", name)
        assert done.returncode == 0, done.stderr
    done = qaemb(project, "answerers")
    assert done.returncode == 0, done.stderr
    folder = Workspace(project.folder).answerers
    return {path.stem: json.loads(path.read_text())["key"] for path in folder.glob("*.json")}


@pytest.mark.slow
def test_promise_4_what_changes_an_answer_changes_the_key(keys):
    changed = [keys["base"], *(keys[name] for name in OTHER)]
    assert len(set(changed)) == len(changed)


@pytest.mark.slow
@pytest.mark.parametrize("name", SAME)
def test_promise_4_what_changes_no_answer_keeps_the_key(keys, name):
    assert keys[name] == keys["base"]


def test_promise_4_other_published_answers_have_another_key(project):
    first = project.store.key
    margin = project.expected.margin.copy()
    margin[0, 0] += 1
    other = type(project)(project.folder, project.n_segments, project.n_questions)
    other.__dict__["expected"] = type(project.expected)(margin, project.expected.mass)
    shutil.rmtree(project.folder / "data" / "published")
    other.write()
    assert other.store.key != first


def _shipped_prompt() -> str:
    return files("qaemb.answers.prompts").joinpath("text_first.yaml").read_text(encoding="utf-8")
