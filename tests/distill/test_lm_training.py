"""Training: a planted rule is learnt, what is written answers as what was trained, and a kill loses nothing."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from qaemb.answers import build_answerer
from qaemb.distill.cells import TeacherCells, split_groups
from qaemb.distill.grades import question_aucs
from qaemb.distill.lm.adapter import _read_adapter_info, merge_adapter
from qaemb.distill.lm.student import LmStudent
from qaemb.distill.lm.training import LmResult, _Training, train_lm
from qaemb.errors import BadInput, QaembError
from qaemb.models.folder import read_model_info
from qaemb.settings import AnswererSettings, LmSettings

from .conftest import planted


def changed(settings: LmSettings, **changes: object) -> LmSettings:
    return LmSettings.model_validate(settings.model_dump() | changes)


QUICK = LmSettings(
    texts_per_batch=4,
    questions_per_text=1,
    epochs=0.25,
    evaluate_every=6,
    validation_texts=30,
    held_out_share=0.25,
    warmup=2,
    learning_rate=5e-3,
    threads=1,
)
LEARNING = changed(QUICK, texts_per_batch=16, questions_per_text=2, epochs=5, evaluate_every=30)


def train(base: Path, prompt: str, data: TeacherCells, settings: LmSettings, out: Path) -> LmResult:
    return train_lm(base, data, changed(settings, prompt=prompt), out)


def training_of(base: Path, prompt: str, data: TeacherCells, settings: LmSettings, checkpoint: Path) -> _Training:
    return _Training(base, data, changed(settings, prompt=prompt), checkpoint)


def answers(engine: str, model: Path, prompt: str, texts: list[str], questions: list[str]) -> np.ndarray:
    settings = AnswererSettings(engine=engine, model="student", prompt=prompt, threads=1)
    return build_answerer("student", settings, model).answer(texts, questions).margin


@pytest.fixture(scope="module")
def learnt(llama, short_prompt, tmp_path_factory):
    """The result of a training on the planted rule."""
    return train(llama, short_prompt, planted(), LEARNING, tmp_path_factory.mktemp("out") / "student")


def test_a_planted_rule_is_learnt_from_chance_to_new_stories(llama, short_prompt, learnt):
    assert learnt.curve[0]["step"] == 0
    assert abs(learnt.curve[0]["auc"] - 0.5) < 0.25
    new = planted(seed=1)
    assert not set(new.texts) <= set(planted().texts)
    before = question_aucs(answers("shared", llama, short_prompt, new.texts, new.questions), new)
    after = question_aucs(answers("shared", learnt.model, short_prompt, new.texts, new.questions), new)
    assert abs(before.mean() - 0.5) < 0.25
    assert after.min() > 0.9


def test_engines_answer_with_the_merged_model_as_training_did(llama, short_prompt, learnt):
    training = training_of(llama, short_prompt, planted(), LEARNING, Path("/nowhere"))
    held_out = planted().rows(split_groups(planted().groups, 0.25, 0)[1])
    values = load_file(learnt.adapter / "adapter_model.safetensors")
    training.put({name: values[name.replace(".default.", ".")] for name in training.student.learnt()})
    rendered = training.student.frame.renderer.render(held_out.texts[:6], held_out.questions)
    trained = training.student.margins(rendered, 4)
    assert trained.std() > 1
    for engine in ("reference", "shared"):
        found = answers(engine, learnt.model, short_prompt, held_out.texts[:6], held_out.questions)
        np.testing.assert_allclose(found, trained, atol=2e-3)


def test_the_best_evaluation_is_what_is_written(short_prompt, learnt):
    best = max(learnt.curve, key=lambda entry: entry["auc"])
    assert learnt.figures["best_auc"] == best["auc"]
    training = planted()
    held_out = training.rows(split_groups(training.groups, 0.25, 0)[1])
    aucs = question_aucs(answers("shared", learnt.model, short_prompt, held_out.texts, held_out.questions), held_out)
    assert len(held_out.texts) == 60  # the sample took 30 of them
    assert aucs.mean() == pytest.approx(best["auc"], abs=0.05)


def test_a_student_is_a_model_folder_and_says_what_it_was_made_of(llama, learnt):
    info = read_model_info(learnt.model)
    assert (info.name, info.kind) == ("student", "causal")
    assert info.n_parameters == read_model_info(llama).n_parameters
    assert info.digest != read_model_info(llama).digest
    about = json.loads((learnt.model.parent / "training.json").read_text())
    assert about["adapter"]["base_digest"] == read_model_info(llama).digest
    assert about["settings"] == LEARNING.model_dump(exclude={"prompt"})
    assert about["data"] == {
        "questions": 2,
        "train_stories": 6,
        "train_texts": 180,
        "train_cells": 360,
        "train_texts_cut": 0,
        "held_out_stories": 2,
        "held_out_texts": 30,
    }
    assert about["curve"] == learnt.curve
    steps = learnt.figures["steps"]
    assert (learnt.figures["texts"], learnt.figures["cells"]) == (16 * steps, 32 * steps)


def test_no_path_of_this_machine_is_in_what_is_written(llama, learnt):
    for path in learnt.model.parent.rglob("*.json"):
        assert str(llama.parent) not in path.read_text(), path
    assert {path.name for path in learnt.adapter.iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "qaemb_adapter.json",
    }


def test_an_adapter_makes_the_same_model_again_and_only_of_its_base(llama, smaller, learnt, tmp_path):
    again = merge_adapter(llama, learnt.adapter, tmp_path / "again", "student")
    assert again.digest == read_model_info(learnt.model).digest
    with pytest.raises(BadInput, match="belongs to model `llama`, not to `smaller`"):
        merge_adapter(smaller, learnt.adapter, tmp_path / "other", "student")
    assert not (tmp_path / "other").exists()


@pytest.fixture(scope="module")
def smaller(llama, short_prompt, tmp_path_factory):
    """The model of a student with the first two of three layers."""
    settings = changed(QUICK, n_layers=2)
    return train(llama, short_prompt, planted(), settings, tmp_path_factory.mktemp("small") / "smaller").model


def test_a_student_of_fewer_layers_is_a_smaller_model(llama, smaller, short_prompt):
    assert json.loads((smaller / "config.json").read_text())["num_hidden_layers"] == 2
    assert read_model_info(smaller).n_parameters < read_model_info(llama).n_parameters
    texts, questions = planted().texts[:3], planted().questions
    reference = answers("reference", smaller, short_prompt, texts, questions)
    np.testing.assert_allclose(answers("shared", smaller, short_prompt, texts, questions), reference, atol=1e-3)
    assert _read_adapter_info(smaller.parent / "adapter").n_layers == 2


def test_the_base_model_is_left_as_it_was(llama, learnt):
    from qaemb.models.folder import _model_digest

    assert _model_digest(llama) == read_model_info(llama).digest


def test_cells_without_a_label_have_no_influence(llama, short_prompt, tmp_path):
    data = planted()
    known = np.random.default_rng(0).random(data.known.shape) < 0.5
    adapters = []
    for labels in (data.labels, np.where(known, data.labels, 1 - data.labels)):
        cells = dataclasses.replace(data, labels=labels, known=known)
        result = train(llama, short_prompt, cells, QUICK, tmp_path / str(len(adapters)))
        adapters.append(load_file(result.adapter / "adapter_model.safetensors"))
    assert all(torch.equal(adapters[0][name], adapters[1][name]) for name in adapters[0])


def test_gradients_are_those_of_unpacked_prompts(llama, short_prompt):
    data = planted()
    training = training_of(llama, short_prompt, data, changed(QUICK, mass_weight=0.0), Path("/nowhere"))
    torch.manual_seed(0)
    training.put({name: 0.1 * torch.randn_like(value) for name, value in training.student.learnt().items()})
    training._optimizer.param_groups[0]["lr"] = 0.0
    training.course.step = training.sampler.n_steps  # a learning rate of 0: gradients alone
    training._settings = changed(training._settings, clip=1e9)
    training.step()
    packed = {name: value.grad.clone() for name, value in training.student.learnt().items()}
    expected = _plain_gradients(training, training.sampler.step(training.sampler.n_steps))
    for name, gradient in expected.items():
        torch.testing.assert_close(packed[name], gradient, rtol=1e-3, atol=1e-5)
    assert max(gradient.abs().max() for gradient in expected.values()) > 1e-3


def _plain_gradients(training: _Training, step) -> dict[str, torch.Tensor]:
    """Cell by cell: the full prompt, the two labels' probabilities, the textbook formula."""
    student: LmStudent = training.student
    student.peft.zero_grad()
    labels, cell, total = student.frame.labels, 0, torch.tensor(0.0)
    for text, asked in zip(step.texts, step.questions, strict=True):
        for question in asked:
            ids = training.rendered.shared[text] + training.rendered.suffixes[question]
            p = student.peft(input_ids=torch.tensor([ids])).logits[0, -1].softmax(0)
            yes, no = p[list(labels.yes)].sum(), p[list(labels.no)].sum()
            y = training.train.labels[text, question]
            total = total - (y * (yes / (yes + no)).log() + (1 - y) * (no / (yes + no)).log())
            cell += 1
    (total / cell).backward()
    return {name: value.grad.clone() for name, value in student.learnt().items()}


def test_the_mass_is_kept_up_by_its_weight(llama, short_prompt, tmp_path):
    masses = []
    for weight in (0.0, 1.0):
        settings = changed(QUICK, epochs=1, mass_weight=weight, patience=100)
        model = train(llama, short_prompt, planted(), settings, tmp_path / str(weight)).model
        spec = AnswererSettings(engine="shared", model="x", prompt=short_prompt, threads=1)
        masses.append(build_answerer("x", spec, model).answer(planted().texts[:20], planted().questions).mass.mean())
    assert masses[1] > 2 * masses[0]


def test_training_stops_when_held_out_stories_gain_nothing(llama, short_prompt, tmp_path):
    rng = np.random.default_rng(0)
    noise = dataclasses.replace(planted(), labels=rng.integers(0, 2, (240, 2)).astype(np.float32))
    settings = changed(QUICK, epochs=50, evaluate_every=2, patience=3)
    result = train(llama, short_prompt, noise, settings, tmp_path / "noise")
    assert result.figures["steps"] == result.figures["best_step"] + 6


def test_minutes_end_a_training_and_take_the_learning_rate_to_0(llama, short_prompt, tmp_path):
    settings = changed(QUICK, epochs=1000, minutes=0.02, evaluate_every=10**6)
    training = training_of(llama, short_prompt, planted(), settings, tmp_path / "checkpoint")
    rates = []
    while not training.is_over():
        rates.append(training._rate())
        training.step()
    assert 3 < len(rates) < training.sampler.n_steps
    assert rates[0] < rates[1] > rates[-1]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_dropout_and_dtypes_train_too(llama, short_prompt, dtype):
    settings = changed(QUICK, dtype=dtype, dropout=0.2)
    training = training_of(llama, short_prompt, planted(), settings, Path("/nowhere"))
    assert np.isfinite([training.step() for _ in range(3)]).all()
    assert all(value.dtype == torch.float32 for value in training.student.learnt().values())


RUN = """
import dataclasses, sys
from pathlib import Path
from qaemb.distill.cells import TeacherCells
from qaemb.distill.lm.training import train_lm
from qaemb.settings import LmSettings
import numpy as np, json
settings = LmSettings(**{**json.loads(sys.argv[4]), "prompt": sys.argv[2]})
cells = json.loads(Path(sys.argv[5]).read_text())
labels = np.array(cells["labels"], np.float32)
data = TeacherCells(cells["texts"], cells["questions"], labels, np.ones(labels.shape, bool), cells["groups"])
train_lm(Path(sys.argv[1]), data, settings, Path(sys.argv[3]))
"""


def test_a_killed_training_goes_on_and_gives_the_same(llama, short_prompt, tmp_path):
    data = planted()
    settings = changed(QUICK, epochs=1, checkpoint_seconds=0, dropout=0.1)
    whole = train(llama, short_prompt, data, settings, tmp_path / "whole")
    cells = tmp_path / "cells.json"
    cells.write_text(
        json.dumps({**{k: getattr(data, k) for k in ("texts", "questions", "groups")}, "labels": data.labels.tolist()})
    )
    killed, checkpoint = tmp_path / "killed", tmp_path / ".killed.checkpoint"
    values = [str(llama), short_prompt, str(killed), json.dumps(settings.model_dump()), str(cells)]
    with subprocess.Popen(
        [sys.executable, "-c", RUN, *values], env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL
    ) as process:
        while process.poll() is None and _steps_in(checkpoint) < 5:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    assert 5 <= _steps_in(checkpoint) < whole.figures["steps"]
    assert not killed.exists()
    rest = train(llama, short_prompt, data, settings, killed)
    adapters = [load_file(result.adapter / "adapter_model.safetensors") for result in (whole, rest)]
    assert all(torch.equal(adapters[0][name], adapters[1][name]) for name in adapters[0])
    curves = [[(entry["step"], entry["auc"], entry["held_out_loss"]) for entry in r.curve] for r in (whole, rest)]
    assert curves[0] == curves[1]
    assert not checkpoint.exists()


def _steps_in(checkpoint: Path) -> int:
    try:
        return torch.load(checkpoint, weights_only=True)["course"]["step"]
    except FileNotFoundError:
        return -1


def test_a_checkpoint_of_another_training_or_a_damaged_one_is_not_used(llama, short_prompt, tmp_path):
    checkpoint = tmp_path / "checkpoint"
    first = training_of(llama, short_prompt, planted(), QUICK, checkpoint)
    first.begin()
    first.step()
    first.save()

    def steps(**changes: object) -> int:
        settings = changed(QUICK, **changes)
        again = training_of(llama, short_prompt, planted(), settings, checkpoint)
        again.begin()
        return again.course.step

    assert steps() == 1
    assert steps(minutes=5.0, threads=2, checkpoint_seconds=1.0) == 1
    assert steps(rank=4) == 0
    checkpoint.write_bytes(checkpoint.read_bytes()[:-1000])
    assert steps() == 0


def test_held_out_stories_without_both_answers_are_refused(llama, short_prompt, tmp_path):
    never = dataclasses.replace(planted(), labels=np.zeros_like(planted().labels))
    with pytest.raises(BadInput, match="no question has both yes and no; raise validation_texts"):
        train(llama, short_prompt, never, QUICK, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_loss_that_is_not_finite_stops_the_training(llama, short_prompt):
    training = training_of(llama, short_prompt, planted(), QUICK, Path("/nowhere"))
    training.put({name: torch.full_like(value, torch.nan) for name, value in training.student.learnt().items()})
    with pytest.raises(QaembError, match="the loss is nan at step 0; lower learning_rate"):
        training.step()
