"""Fine-tuned encoders: what training promises, and that the saved student answers as it was trained."""

import functools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qaemb.answers.adapter import Adapter, read_adapter, write_adapter
from qaemb.answers.encoder import Encoder
from qaemb.answers.engines.student import StudentAnswerer
from qaemb.answers.models import make_model
from qaemb.answers.students import Heads, KnownQuestion, Layer, Reader, Student, Trust, read_student, write_student
from qaemb.answers.students.reading import text_vectors
from qaemb.distill.card import card
from qaemb.distill.cells import TeacherCells, split_groups
from qaemb.distill.conditioned import QuestionVectors
from qaemb.distill.finetune import Finetuning, Task, finetune
from qaemb.distill.heads import HeadSettings, fit_heads, log_loss
from qaemb.distill.lm.evaluation import question_aucs
from qaemb.distill.train import Lesson, Plan, train_student
from qaemb.errors import BadInput, BadParameter, QaembError
from qaemb.settings import AnswererSettings, ModelSettings

QUESTIONS = ["Is there one of a and b alone?", "Is there one of c and d alone?"]
HEADS = HeadSettings(penalties=(1e-2, 1e-3, 1e-4))


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with a random two-layer BERT that reads letters."""
    source = tmp_path_factory.mktemp("source")
    save_bert(source)
    folder = tmp_path_factory.mktemp("models") / "bert"
    make_model("bert", ModelSettings(source="folder", path=source, kind="encoder"), folder)
    return folder


def save_bert(folder: Path) -> None:
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdef"]
    BertTokenizer(vocab={word: number for number, word in enumerate(vocabulary)}).save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = BertConfig(vocab_size=len(vocabulary), max_position_embeddings=64, initializer_range=0.3, **sizes)
    BertModel(config).save_pretrained(folder)


@functools.cache
def planted(context: bool = False, n: int = 320, n_stories: int = 8) -> TeacherCells:
    """Texts of three letters and labels that no linear map of their letters gives.

    With context the text after one is the focus of the next, as with the TRs of a story.
    """
    rng = np.random.default_rng(0)
    letters = [list(rng.choice(list("abcdef"), 3, replace=False)) for _ in range(n)]
    labels = np.array([[("a" in own) != ("b" in own), ("c" in own) != ("d" in own)] for own in letters], np.float32)
    texts = [" ".join(own) for own in letters]
    if context:
        after = [*texts[1:], ""]
        texts = [f"[[{text}]] {next_one}".strip() for text, next_one in zip(texts, after, strict=True)]
    groups = [f"story{number * n_stories // n}" for number in range(n)]
    return TeacherCells(texts, QUESTIONS, labels, np.ones(labels.shape, bool), groups)


def vectors_by(encoder: Encoder, cells: TeacherCells, context: bool) -> np.ndarray:
    return text_vectors(cells.texts, context, encoder.embed, encoder.width)


def start(folder: Path, cells: TeacherCells, context: bool = False, head: HeadSettings = HEADS) -> Task:
    fit, held_out = split_groups(cells.groups, 0.25, 0)
    found = fit_heads(vectors_by(Encoder(folder, 1), cells, context), cells, fit, held_out, head)
    return Task(context, cells, fit, held_out, found.heads, found.penalty)


def course(folder: Path, **changes: object) -> Finetuning:
    own = {"epochs": 6, "batch_texts": 16, "learning_rate": 2e-2, "patience": 99, "threads": 1}
    return Finetuning(folder, **(own | changes))


def held_out_margins(task: Task, folder: Path, adapter: Adapter | None, heads: Heads) -> np.ndarray:
    return heads.margins(vectors_by(Encoder(folder, 1, adapter), task.cells.rows(task.held_out), task.context))


@pytest.fixture(scope="module")
def tuned(bert):
    task = start(bert, planted())
    return task, finetune([task], HEADS, course(bert))


def test_a_tuned_encoder_learns_what_heads_on_frozen_vectors_can_not(bert, tuned):
    task, found = tuned
    held = task.cells.rows(task.held_out)
    frozen = question_aucs(held_out_margins(task, bert, None, task.heads), held)
    better = question_aucs(held_out_margins(task, bert, found.adapter, found.heads[0]), held)
    assert frozen.mean() < 0.8
    assert better.mean() > 0.93


def test_step_0_is_the_frozen_student_and_the_best_step_is_what_comes_back(bert, tuned):
    task, found = tuned
    held = task.cells.rows(task.held_out)
    assert found.curve[0]["step"] == 0
    for loss, adapter, heads in (
        (found.curve[0]["held_out_log_loss"], None, task.heads),
        (found.held_out_log_loss, found.adapter, found.heads[0]),
    ):
        margin = held_out_margins(task, bert, adapter, heads)
        assert log_loss(margin, held.labels, held.known) == pytest.approx(loss, abs=1e-5)
    best = min(found.curve, key=lambda row: row["held_out_log_loss"])
    assert found.step == best["step"] > 0


@pytest.mark.parametrize("context", [False, True])
def test_the_saved_student_answers_as_the_training_forward_pass(bert, tmp_path, context):
    from qaemb.distill.finetune_model import Tuner, _margins

    task = start(bert, planted(context), context)
    tuner = Tuner([task], HEADS, course(bert))
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


def a_student(folder: Path, readers: list[Reader], adapter: Adapter | None) -> Student:
    known = [KnownQuestion(text, 0.8, 0.7, 0.9, 0.9, 0.1, 0.5, True) for text in QUESTIONS]
    encoder = {"name": "bert", "package": None, "version": None, "digest": Encoder(folder).info.digest}
    about = {"teacher": "rule"}
    return Student("tuned", encoder, tuple(known), tuple(readers), Trust(0.6, None), about, adapter)


def answers_of(student: Student, folder: Path, saved: Path, texts: list[str]) -> np.ndarray:
    write_student(student, saved, card(student, {}))
    settings = AnswererSettings(engine="student", model="bert", student=saved.as_posix())
    return StudentAnswerer(settings, folder).answer(texts, QUESTIONS).margin


def test_heads_with_a_hidden_layer_are_trained_alike(bert):
    rng = np.random.default_rng(0)
    task = start(bert, planted())
    layer = Layer(rng.standard_normal((32, 8)).astype(np.float32), np.zeros(8, np.float32))
    heads = Heads(rng.standard_normal((8, 2)).astype(np.float32) / 8, np.zeros(2, np.float32), layer)
    task = replace(task, heads=heads, penalty=0.0)
    found = finetune([task], HEADS, course(bert, epochs=2))
    held = task.cells.rows(task.held_out)
    for loss, adapter, own in (
        (found.curve[0]["held_out_log_loss"], None, heads),
        (found.held_out_log_loss, found.adapter, found.heads[0]),
    ):
        margin = held_out_margins(task, bert, adapter, own)
        assert log_loss(margin, held.labels, held.known) == pytest.approx(loss, abs=1e-5)
    assert found.heads[0].hidden is not None
    assert not np.array_equal(found.heads[0].hidden.weight, layer.weight)


def test_two_readers_share_one_encoder_and_both_get_better(bert):
    tasks = [start(bert, planted()), start(bert, planted(True), True)]
    found = finetune(tasks, HEADS, course(bert, epochs=4))
    for task, heads in zip(tasks, found.heads, strict=True):
        held = task.cells.rows(task.held_out)
        before = log_loss(held_out_margins(task, bert, None, task.heads), held.labels, held.known)
        assert log_loss(held_out_margins(task, bert, found.adapter, heads), held.labels, held.known) < before - 0.05


def test_cells_that_are_not_known_change_nothing(bert):
    cells = planted()
    known = np.random.default_rng(1).random(cells.labels.shape) < 0.6
    known[5] = False  # a text of which nothing is known
    first = replace(start(bert, cells), cells=replace(cells, known=known))
    wrong = np.where(known, cells.labels, 1 - cells.labels)
    second = replace(first, cells=replace(first.cells, labels=wrong))
    a, b = (finetune([task], HEADS, course(bert, epochs=1)) for task in (first, second))
    assert a.curve[0]["held_out_log_loss"] == b.curve[0]["held_out_log_loss"]
    np.testing.assert_array_equal(a.heads[0].weight, b.heads[0].weight)
    assert a.adapter.digest == b.adapter.digest


def test_the_loss_is_that_of_the_heads(bert):
    from qaemb.distill.finetune_model import Tuner

    cells = planted()
    known = np.random.default_rng(1).random(cells.labels.shape) < 0.6
    cells = replace(cells, labels=(0.1 + 0.7 * cells.labels).astype(np.float32), known=known)
    for head in (HEADS, replace(HEADS, hard=True), replace(HEADS, balance=True)):
        task = start(bert, cells, head=head)
        tuner = Tuner([task], head, course(bert))
        lesson, all_rows = tuner._lessons[0], task.fit
        margin = task.heads.margins(vectors_by(Encoder(bert, 1), cells, False))[all_rows].astype(np.float64)
        expected = np.mean([mean_loss(margin[:, j], cells.rows(all_rows), j, head) for j in range(2)])
        from torch import from_numpy

        found = tuner._loss(lesson, all_rows, from_numpy(margin.astype(np.float32))).item()
        assert found == pytest.approx(expected, rel=1e-5)


def mean_loss(margin: np.ndarray, cells: TeacherCells, column: int, head: HeadSettings) -> float:
    """The loss of one question, cell by cell, as heads.py has it in words."""
    known = cells.known[:, column]
    y = cells.labels[known, column].astype(np.float64)
    y = (y > 0.5).astype(np.float64) if head.hard else y
    rate, z, weight = y.mean(), margin[known], np.ones(len(y))
    if head.balance:
        z = z - np.log(rate / (1 - rate))
        weight = y / (2 * rate) + (1 - y) / (2 * (1 - rate))
    p = 1 / (1 + np.exp(-z))
    return float(np.mean(weight * (-y * np.log(p) - (1 - y) * np.log(1 - p))))


def test_a_training_that_makes_things_worse_gives_its_start_back(bert):
    task = start(bert, planted())
    noise = np.random.default_rng(0).integers(0, 2, task.cells.labels.shape).astype(np.float32)
    labels = task.cells.labels.copy()
    labels[task.fit] = noise[task.fit]  # what it learns from says nothing about the held-out stories
    found = finetune(
        [replace(task, cells=replace(task.cells, labels=labels))], HEADS, course(bert, epochs=20, patience=3)
    )
    assert found.step == 0
    assert found.adapter is None
    np.testing.assert_array_equal(found.heads[0].weight, task.heads.weight)
    assert len(found.curve) == 4  # the start and three evaluations that were no better


def test_the_same_seed_gives_the_same_student_and_another_seed_another(bert):
    task = start(bert, planted())
    a, b, c = (finetune([task], HEADS, course(bert, epochs=1, seed=seed)) for seed in (3, 3, 4))
    assert a.adapter.digest == b.adapter.digest != c.adapter.digest
    np.testing.assert_array_equal(a.heads[0].weight, b.heads[0].weight)
    assert [row["held_out_log_loss"] for row in a.curve] == [row["held_out_log_loss"] for row in b.curve]


def test_minutes_end_training_and_the_last_state_is_measured(bert):
    found = finetune([start(bert, planted())], HEADS, course(bert, epochs=1000, minutes=1e-6))
    assert [row["step"] for row in found.curve] == [0, 1]


def test_an_epoch_visits_each_known_text_once(bert):
    from qaemb.distill.finetune_model import Tuner

    cells = planted(True)
    known = cells.known.copy()
    known[::7] = False
    task = start(bert, replace(cells, known=known), True)
    tuner = Tuner([task], HEADS, course(bert, batch_texts=24))
    wanted = sorted(row for row in task.fit if known[row].any())
    assert sorted(np.concatenate([rows for _, rows in tuner.batches(1)])) == wanted
    twice = np.concatenate([rows for _, rows in tuner.batches(2)])
    assert sorted(twice) == sorted(wanted * 2)
    assert list(twice[: len(wanted)]) != list(twice[len(wanted) :])


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
        kind="heads", test_stories=["story7"], heads=HEADS, held_out_share=0.2, finetune=course(bert, epochs=10)
    )
    made = train_student("s", named, [lesson_of(bert, cells)], asked, plan)
    chosen = made.chosen["plain"]
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


@pytest.mark.parametrize("kind", ["conditioned", "both"])
def test_other_kinds_are_not_fine_tuned(bert, kind):
    cells = planted()
    encoder = Encoder(bert, 1)
    asked = QuestionVectors(encoder.embed(["a", "b"]), encoder.embed(["c"])[0])
    plan = Plan(kind=kind, test_stories=["story7"], heads=HEADS, held_out_share=0.25, finetune=course(bert))
    with pytest.raises(BadParameter, match="can't be fine-tuned"):
        train_student("s", {"digest": "x"}, [lesson_of(bert, cells)], asked, plan)


@pytest.mark.parametrize("name", ["rank", "epochs", "batch_texts", "learning_rate", "minutes"])
def test_a_setting_out_of_range_is_named(bert, name):
    with pytest.raises(BadParameter, match=f"{name} is 0"):
        Finetuning(bert, **{name: 0})


def test_heads_of_another_width_are_refused(bert):
    task = start(bert, planted())
    heads = Heads(task.heads.weight[:16], task.heads.bias)
    with pytest.raises(BadInput, match="16 inputs and 2 questions"):
        finetune([replace(task, heads=heads)], HEADS, course(bert))


def test_held_out_stories_of_which_nothing_is_known_are_refused(bert):
    task = start(bert, planted())
    known = task.cells.known.copy()
    known[task.held_out] = False
    with pytest.raises(BadInput, match="held-out stories"):
        finetune([replace(task, cells=replace(task.cells, known=known))], HEADS, course(bert))


def test_a_training_that_diverges_says_what_to_change(bert):
    task = start(bert, planted())
    with pytest.raises(QaembError, match="lower learning_rate"):
        finetune([task], HEADS, course(bert, learning_rate=1e30, warmup=0.0))
