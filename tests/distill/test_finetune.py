"""Training an encoder together with its heads: what it promises."""

from dataclasses import replace

import numpy as np
import pytest

from qaemb.answers.students import Heads, Layer
from qaemb.distill.cells import TeacherCells
from qaemb.distill.finetune import _Tuner, finetune
from qaemb.distill.grades import question_aucs
from qaemb.distill.heads import HeadSettings, log_loss
from qaemb.errors import BadInput, QaembError
from qaemb.models.encoder import Encoder

from .letters import HEADS, course, held_out_margins, made_bert, planted, start, vectors_by


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return made_bert(tmp_path_factory)


@pytest.fixture(scope="module")
def tuned(bert):
    task = start(bert, planted())
    return task, finetune([task], HEADS, course(), bert)


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


def test_heads_with_a_hidden_layer_are_trained_alike(bert):
    rng = np.random.default_rng(0)
    task = start(bert, planted())
    layer = Layer(rng.standard_normal((32, 8)).astype(np.float32), np.zeros(8, np.float32))
    heads = Heads(rng.standard_normal((8, 2)).astype(np.float32) / 8, np.zeros(2, np.float32), layer)
    task = replace(task, heads=heads, penalty=0.0)
    found = finetune([task], HEADS, course(epochs=2), bert)
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
    found = finetune(tasks, HEADS, course(epochs=4), bert)
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
    a, b = (finetune([task], HEADS, course(epochs=1), bert) for task in (first, second))
    assert a.curve[0]["held_out_log_loss"] == b.curve[0]["held_out_log_loss"]
    np.testing.assert_array_equal(a.heads[0].weight, b.heads[0].weight)
    assert a.adapter.digest == b.adapter.digest


def test_the_loss_is_that_of_the_heads(bert):
    cells = planted()
    known = np.random.default_rng(1).random(cells.labels.shape) < 0.6
    cells = replace(cells, labels=(0.1 + 0.7 * cells.labels).astype(np.float32), known=known)
    for head in (HEADS, replace(HEADS, hard=True), replace(HEADS, balance=True)):
        task = start(bert, cells, head=head)
        tuner = _Tuner([task], head, course(), bert)
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
        [replace(task, cells=replace(task.cells, labels=labels))], HEADS, course(epochs=20, patience=3), bert
    )
    assert found.step == 0
    assert found.adapter is None
    np.testing.assert_array_equal(found.heads[0].weight, task.heads.weight)
    assert len(found.curve) == 4  # the start and three evaluations that were no better


def test_the_same_seed_gives_the_same_student_and_another_seed_another(bert):
    task = start(bert, planted())
    a, b, c = (finetune([task], HEADS, course(epochs=1, seed=seed), bert) for seed in (3, 3, 4))
    assert a.adapter.digest == b.adapter.digest != c.adapter.digest
    np.testing.assert_array_equal(a.heads[0].weight, b.heads[0].weight)
    assert [row["held_out_log_loss"] for row in a.curve] == [row["held_out_log_loss"] for row in b.curve]


def test_minutes_end_training_and_the_last_state_is_measured(bert):
    found = finetune([start(bert, planted())], HEADS, course(epochs=1000, minutes=1e-6), bert)
    assert [row["step"] for row in found.curve] == [0, 1]


def test_an_epoch_visits_each_known_text_once(bert):
    cells = planted(True)
    known = cells.known.copy()
    known[::7] = False
    task = start(bert, replace(cells, known=known), True)
    tuner = _Tuner([task], HEADS, course(batch_texts=24), bert)
    wanted = sorted(row for row in task.fit if known[row].any())
    assert sorted(np.concatenate([rows for _, rows in tuner.batches(1)])) == wanted
    twice = np.concatenate([rows for _, rows in tuner.batches(2)])
    assert sorted(twice) == sorted(wanted * 2)
    assert list(twice[: len(wanted)]) != list(twice[len(wanted) :])


def test_heads_of_another_width_are_refused(bert):
    task = start(bert, planted())
    heads = Heads(task.heads.weight[:16], task.heads.bias)
    with pytest.raises(BadInput, match="16 inputs and 2 questions"):
        finetune([replace(task, heads=heads)], HEADS, course(), bert)


def test_held_out_stories_of_which_nothing_is_known_are_refused(bert):
    task = start(bert, planted())
    known = task.cells.known.copy()
    known[task.held_out] = False
    with pytest.raises(BadInput, match="held-out stories"):
        finetune([replace(task, cells=replace(task.cells, known=known))], HEADS, course(), bert)


def test_a_training_that_diverges_says_what_to_change(bert):
    task = start(bert, planted())
    with pytest.raises(QaembError, match="lower learning_rate"):
        finetune([task], HEADS, course(learning_rate=1e30, warmup=0.0), bert)
