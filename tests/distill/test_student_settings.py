"""Settings of students: every field is within reach of params.yaml, and one out of range is named with its key."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from qaemb.errors import BadParameter
from qaemb.settings import FinetuneSettings, LmSettings, StudentSettings, load_settings

PARAMS = Path(__file__).parents[2] / "params.yaml"
OTHER = {
    "prompt": "short",
    "balance": "sampling",
    "dtype": "bfloat16",
    "dropout": 0.3,
    "held_out_share": 0.3,
    "warmup": 0,
}


def student(tmp_path: Path, **values: Any) -> StudentSettings:
    """Return a student from a params.yaml that lists it."""
    params = yaml.safe_load(PARAMS.read_text())
    model = "smollm2" if values["kind"] == "lm" else "minilm"
    spec = {"model": model, "job": "llm_tr", "input": "data/work", **values}
    params["distill"]["students"]["mine"] = spec
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    return load_settings(tmp_path / "params.yaml").distill.students["mine"]


@pytest.mark.parametrize("name", LmSettings.model_fields)
def test_every_setting_of_a_language_model_is_set_in_params(tmp_path, name):
    value = OTHER.get(name, 7)
    training = student(tmp_path, kind="lm", seed=3, lm={name: value}).training
    assert getattr(training, name) == value != LmSettings.model_fields[name].default
    changed = {key for key in LmSettings.model_fields if getattr(training, key) != getattr(LmSettings(), key)}
    assert changed == {name, "seed"}


@pytest.mark.parametrize("name", FinetuneSettings.model_fields)
def test_every_setting_of_fine_tuning_is_set_in_params(tmp_path, name):
    value = 0.5 if name == "warmup" else 7
    finetuning = student(tmp_path, kind="heads", seed=3, finetune={name: value}).finetuning
    assert getattr(finetuning, name) == value != FinetuneSettings.model_fields[name].default
    assert finetuning.seed == (7 if name == "seed" else 3)


def test_a_language_model_is_trained_with_the_students_seed_balance_and_held_out_share(tmp_path):
    training = student(tmp_path, kind="lm", seed=5, balance=True, held_out_share=0.4).training
    assert (training.seed, training.balance, training.held_out_share) == (5, "weights", 0.4)
    assert student(tmp_path, kind="lm", balance=True, lm={"balance": "none"}).training.balance == "none"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rank": 0}, "rank: .*greater than or equal to 1"),
        ({"learning_rate": -1.0}, "learning_rate: .*greater than 0"),
        ({"n_layers": 0}, "n_layers: .*greater than or equal to 1"),
        ({"minutes": 0.0}, "minutes: .*greater than 0"),
        ({"warmup": -1}, "warmup: .*greater than or equal to 0"),
        ({"dropout": 1.0}, "dropout: .*less than 1"),
        ({"held_out_share": 0.0}, "held_out_share: .*greater than 0"),
        ({"balance": "both"}, "balance: .*'none', 'weights' or 'sampling'"),
        ({"dtype": "float16"}, "dtype: .*'float32' or 'bfloat16'"),
        ({"epochs": float("nan")}, "epochs: .*greater than 0"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(tmp_path, changes, message):
    with pytest.raises(BadParameter, match=rf"distill\.students\.mine\.lm\.{message}"):
        student(tmp_path, kind="lm", lm=changes)


@pytest.mark.parametrize("name", ["rank", "epochs", "batch_texts", "learning_rate", "minutes"])
def test_a_setting_of_fine_tuning_out_of_range_is_named(tmp_path, name):
    with pytest.raises(BadParameter, match=rf"distill\.students\.mine\.finetune\.{name}: .*greater than"):
        student(tmp_path, kind="heads", finetune={name: 0})


@pytest.mark.parametrize("kind", ["conditioned", "both", "lm"])
def test_only_heads_are_fine_tuned(tmp_path, kind):
    with pytest.raises(BadParameter, match=f"section `finetune` belongs to kind `heads`, and this is of kind `{kind}`"):
        student(tmp_path, kind=kind, finetune={"rank": 2})


def test_a_key_of_another_kind_without_a_value_is_no_error(tmp_path):
    assert student(tmp_path, kind="conditioned", finetune=None).kind == "conditioned"
