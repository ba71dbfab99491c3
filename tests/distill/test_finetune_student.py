"""Fine-tuned students: they answer as they were trained to, and their adapter is part of what they are."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from qaemb.answers.engines.student import StudentAnswerer
from qaemb.answers.students import Reader, read_student, write_student
from qaemb.distill.cells import TeacherCells
from qaemb.distill.conditioned import QuestionVectors
from qaemb.distill.finetune import _Tuner, finetune
from qaemb.distill.grades import card, question_aucs
from qaemb.distill.train import Lesson, Plan, train_student
from qaemb.errors import BadInput, BadParameter
from qaemb.files import read_json
from qaemb.models.adapter import read_adapter, write_adapter
from qaemb.models.encoder import Encoder
from qaemb.settings import AnswererSettings
from qaemb.stages.distill import distill

from . import test_distill_stage as stage
from .letters import HEADS, a_student, answers_of, course, made_bert, planted, start, vectors_by


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return made_bert(tmp_path_factory)


@pytest.fixture(scope="module")
def tuned(bert):
    task = start(bert, planted())
    return task, finetune([task], HEADS, course(), bert)


@pytest.mark.parametrize("context", [False, True])
def test_the_saved_student_answers_as_the_training_forward_pass(bert, tmp_path, context):
    from qaemb.distill.finetune import _margins

    task = start(bert, planted(context), context)
    tuner = _Tuner([task], HEADS, course(), bert)
    for batch in tuner.batches(1):
        tuner.step(batch, 0.5)
    state = tuner.state()
    lesson = tuner._lessons[0]
    expected = _margins(tuner._vectors(lesson.places), tuner._heads[0]).detach().numpy()
    student = a_student(bert, [Reader(context, tuner.heads(state)[0], None)], tuner.adapter(state))
    answers = answers_of(student, bert, tmp_path / "student", task.cells.texts)
    np.testing.assert_allclose(answers, expected, atol=1e-4)
    frozen = task.heads.margins(vectors_by(Encoder(bert, 1), task.cells, context))
    assert np.abs(expected - frozen).max() > 0.1


def test_the_merged_encoder_is_what_peft_computes(bert, tuned, tmp_path):
    import torch
    from peft import PeftModel
    from transformers import AutoModel

    write_adapter(tuned[1].adapter, tmp_path / "adapter")
    model = PeftModel.from_pretrained(AutoModel.from_pretrained(bert), tmp_path / "adapter").eval()
    encoder = Encoder(bert, 1, read_adapter(tmp_path / "adapter"))
    texts = ["a b c", "f", "d e f a"]
    for text, vector in zip(texts, encoder.embed(texts), strict=True):
        with torch.no_grad():
            mean = model(input_ids=torch.tensor(encoder.token_ids([text]))).last_hidden_state[0].mean(0).numpy()
        np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-5)


def test_a_student_comes_back_from_its_folder_with_its_adapter(bert, tuned, tmp_path):
    found = tuned[1]
    student = a_student(bert, [Reader(False, found.heads[0], None)], found.adapter)
    write_student(student, tmp_path / "s", card(student, {}))
    back = read_student(tmp_path / "s")
    assert back.digest == student.digest
    assert back.adapter.digest == found.adapter.digest
    assert sorted(path.name for path in (tmp_path / "s" / "adapter").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    assert str(bert.parent) not in (tmp_path / "s" / "adapter" / "adapter_config.json").read_text()
    assert "adapter" in (tmp_path / "s" / "CARD.md").read_text()


def test_the_adapter_is_part_of_the_key_of_vectors_and_of_answers(bert, tuned):
    found = tuned[1]
    plain, own = Encoder(bert), Encoder(bert, adapter=found.adapter)
    assert plain.specs != own.specs
    readers = [Reader(False, found.heads[0], None)]
    assert a_student(bert, readers, None).digest != a_student(bert, readers, found.adapter).digest
    louder = replace(found.adapter, alpha=found.adapter.alpha * 2)
    assert louder.digest != found.adapter.digest


def test_a_changed_or_missing_adapter_is_refused(bert, tuned, tmp_path):
    found = tuned[1]
    student = a_student(bert, [Reader(False, found.heads[0], None)], found.adapter)
    write_student(student, tmp_path / "s", "# card\n")
    name = next(iter(found.adapter.maps))
    a, b = found.adapter.maps[name]
    write_adapter(replace(found.adapter, maps={**found.adapter.maps, name: (a, b + 1)}), tmp_path / "s" / "adapter")
    with pytest.raises(BadInput, match="not those that student.json was written for"):
        read_student(tmp_path / "s")
    (tmp_path / "s" / "adapter" / "adapter_model.safetensors").write_bytes(b"not weights")
    with pytest.raises(BadInput, match="no adapter that can be read"):
        read_student(tmp_path / "s")
    (tmp_path / "s" / "adapter" / "adapter_model.safetensors").unlink()
    with pytest.raises(BadInput, match="does not exist"):
        read_student(tmp_path / "s")


def test_an_adapter_of_another_model_is_refused(bert, tuned):
    maps = {"layer.9.dense": next(iter(tuned[1].adapter.maps.values()))}
    with pytest.raises(BadInput, match="has no map `layer.9.dense`"):
        Encoder(bert, adapter=replace(tuned[1].adapter, maps=maps)).embed(["a"])


def lesson_of(folder: Path, cells: TeacherCells) -> Lesson:
    return Lesson(False, vectors_by(Encoder(folder, 1), cells, False), cells)


def test_a_trained_student_is_tuned_and_says_what_that_brought(bert, tmp_path):
    cells = planted()
    encoder = Encoder(bert, 1)
    named = {"name": "bert", "package": None, "version": None, "digest": encoder.info.digest}
    asked = QuestionVectors(encoder.embed(["a", "b"]), encoder.embed(["c"])[0])
    plan = Plan(
        kind="heads", test_stories=["story7"], heads=HEADS, held_out_share=0.2, finetune=course(epochs=10), model=bert
    )
    made = train_student("s", named, [lesson_of(bert, cells)], asked, plan)
    chosen = made.choices["plain"]
    assert chosen["frozen_held_out_auc"] < 0.8
    assert made.held_out["plain"]["auc"].mean() > 0.9
    assert chosen["frozen_test_auc"] < 0.8
    assert made.test["plain"]["auc"].mean() > 0.9
    assert chosen["held_out_log_loss"] < chosen["frozen_held_out_log_loss"]
    assert made.curve[0]["step"] == 0
    student = replace(made.student, about={"teacher": "rule"})
    test = cells.stories(["story7"])
    aucs = question_aucs(answers_of(student, bert, tmp_path / "s", test.texts), test)
    np.testing.assert_allclose(aucs, made.test["plain"]["auc"], atol=1e-9)


def test_the_stage_keeps_the_adapter_and_says_what_it_brought(bert, tmp_path, monkeypatch):
    monkeypatch.setattr(stage, "WORDS", list("abcdef"))
    world = stage.World(tmp_path, bert)
    world.publish()
    tuning = {"rank": 4, "epochs": 4, "learning_rate": 5e-3, "batch_texts": 16}
    own = {"kind": "heads", "published": "gpt4", "segmentations": ["tr"], "finetune": tuning}
    distill(world.settings(mine=own), world.workspace, "mine")
    metrics = read_json(world.workspace.metrics("distill", "mine"))["plain"]
    assert metrics["held_out_log_loss"] < metrics["frozen_held_out_log_loss"]
    assert {"frozen_held_out_auc", "frozen_test_auc", "finetune_steps"} <= set(metrics)
    folder = world.workspace.students / "mine"
    student = read_student(folder)
    assert student.adapter.rank == 4
    curve = pd.read_parquet(folder / "finetune.parquet")
    assert "minutes" not in curve  # another run takes another time, and DVC would see other results
    assert read_json(world.workspace.run_figures("distill", "mine"))["curve"][-1]["minutes"] > 0
    assert metrics["finetune_steps"] == curve["step"][curve["held_out_log_loss"].idxmin()]
    assert f"AUC {metrics['frozen_held_out_auc']:.3f} frozen" in (folder / "CARD.md").read_text()
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{world.workspace.mlruns.resolve() / 'mlflow.db'}")
    text, question = world.texts[0][2], student.questions[0].text
    answered = mlflow.pyfunc.load_model("models:/student-mine@champion").predict(pd.DataFrame({"text": [text]}))
    settings = AnswererSettings(engine="student", model="tiny", student=folder.as_posix())
    expected = StudentAnswerer(settings, bert).answer([text], [question]).margin[0, 0]
    assert answered.iloc[0][question] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("kind", ["conditioned", "both"])
def test_other_kinds_are_not_fine_tuned(bert, kind):
    cells = planted()
    encoder = Encoder(bert, 1)
    asked = QuestionVectors(encoder.embed(["a", "b"]), encoder.embed(["c"])[0])
    plan = Plan(kind=kind, test_stories=["story7"], heads=HEADS, held_out_share=0.25, finetune=course(), model=bert)
    with pytest.raises(BadParameter, match="can't be fine-tuned"):
        train_student("s", {"digest": "x"}, [lesson_of(bert, cells)], asked, plan)
