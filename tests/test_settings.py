"""params.yaml is checked whole before any stage reads it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from qaemb.errors import BadParameter
from qaemb.settings import load_settings

ROOT = Path(__file__).parents[1]


def changed(tmp_path: Path, key: str, value: Any) -> Path:
    """Write the project's params.yaml with one dotted key changed."""
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    *path, last = key.split(".")
    section = values
    for part in path:
        section = section[part]
    section[last] = value
    target = tmp_path / "params.yaml"
    target.write_text(yaml.safe_dump(values))
    return target


def test_the_projects_params_are_valid_and_frozen() -> None:
    settings = load_settings(ROOT / "params.yaml")
    with pytest.raises(ValueError, match="frozen"):
        settings.seed = 3  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("encode.alpha", 3, r"unknown parameter `encode\.alpha`"),
        ("features.spaces.gold.smooth", True, r"unknown parameter `features\.spaces\.gold\.smooth`"),
        ("encodes", {}, "unknown parameter `encodes`"),
        ("encode.n_folds", 1, r"encode\.n_folds: .*greater than or equal to 2"),
        ("encode.protocol", "lenient", r"encode\.protocol: .*'strict', 'reference' or 'paper'"),
        ("answers.jobs.llm_tr.answerer", "gpt9", r"no answerer `gpt9` in answers\.spec"),
        ("answers.jobs.llm_tr.segmentation", "pages", r"segmentation: `pages` is not in segments \("),
        ("answers.spec.smollm2.model", "llama", r"`llama` is not in model"),
        ("features.spaces.qa_llm.job", "nothing", r"`nothing` is not in answers\.jobs"),
        ("encode.spaces.gold", ["golden"], r"encode\.spaces\.gold: `golden` is not in features\.spaces"),
        ("select.spaces", ["x"], r"select\.spaces: `x` is not in features\.spaces"),
        ("publish.ttl_days", -1, r"publish\.ttl_days: .*greater than or equal to 0"),
        ("publish.job", "x", r"publish\.job: `x` is not in answers\.jobs"),
        ("model.minilm", {"source": "wheel", "kind": "encoder"}, r"source `wheel` needs `package` and `version`"),
        ("features.spaces.gold", {"kind": "qa", "input": "x"}, "kind `qa` needs `job`"),
        ("downstream.tasks.lee.kind", "ranking", r"downstream\.tasks\.lee\.kind: `ranking` is none of 'similarity', "),
        ("downstream.tasks.lee", {"data": "x"}, r"downstream\.tasks\.lee\.kind: Field required"),
        ("downstream.tasks.lee.n_folds", 3, r"unknown parameter `downstream\.tasks\.lee\.n_folds`"),
        (
            "downstream.tasks.lee.retrieval",
            {"n_folds": 3},
            r"tasks\.lee: section `retrieval` belongs to kind `retrieval`",
        ),
        (
            "downstream.tasks.messages.classification.n_folds",
            1,
            r"tasks\.messages\.classification\.n_folds: .*equal to 2",
        ),
        ("distill.students.smollm2_heads.kind", "tree", r"students\.smollm2_heads\.kind: `tree` is none of 'heads', "),
        (
            "distill.students.smollm2_heads.lm",
            {"rank": 2},
            r"section `lm` belongs to kind `lm`, and this is of kind `heads`",
        ),
        (
            "distill.students.smollm2_heads.finetune",
            {"rank": 0},
            r"students\.smollm2_heads\.finetune\.rank: .*equal to 1",
        ),
    ],
)
def test_a_bad_parameter_is_named(tmp_path: Path, key: str, value: Any, message: str) -> None:
    path = changed(tmp_path, key, value)
    with pytest.raises(BadParameter, match=message) as caught:
        load_settings(path)
    assert str(path) in str(caught.value)


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadParameter, match="run qaemb from the project's root"):
        load_settings(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("a: [1, 2")
    with pytest.raises(BadParameter, match=r"(?s)not valid YAML.*line 1"):
        load_settings(tmp_path / "params.yaml")
