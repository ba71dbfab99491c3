"""Which cells a step takes, and how much each counts."""

import dataclasses

import numpy as np
import pytest
import torch

from qaemb.distill.cells import TeacherCells
from qaemb.distill.grades import question_aucs
from qaemb.distill.lm.batches import Sampler, _class_weights, validation_sample
from qaemb.distill.lm.student import cross_entropy
from qaemb.errors import BadInput
from qaemb.settings import LmSettings


def teacher(seed: int = 0, n_texts: int = 30, n_questions: int = 12) -> TeacherCells:
    """Random soft labels, a third of the cells unknown, the last text wholly unknown."""
    rng = np.random.default_rng(seed)
    labels = rng.random((n_texts, n_questions), np.float32)
    known = rng.random(labels.shape) < 2 / 3
    known[-1] = False
    texts = [f"text {number}" for number in range(n_texts)]
    questions = [f"Question {number}?" for number in range(n_questions)]
    return TeacherCells(texts, questions, labels, known, ["story"] * n_texts)


@pytest.mark.parametrize("balance", ["none", "weights", "sampling"])
def test_an_epoch_visits_every_text_with_known_cells_once_and_asks_known_cells_only(balance):
    data = teacher()
    sampler = Sampler(data, LmSettings(texts_per_batch=7, questions_per_text=5, epochs=3, balance=balance))
    assert sampler.n_texts == 29
    assert sampler.n_steps == 13  # 87 visits
    visits = [text for number in range(13) for text in sampler.step(number).texts]
    for epoch in range(3):
        assert sorted(visits[29 * epoch : 29 * (epoch + 1)]) == list(range(29))
    assert visits[:29] != visits[29:58]
    for number in range(13):
        step = sampler.step(number)
        for text, asked in zip(step.texts, step.questions, strict=True):
            assert len(set(asked)) == len(asked) == min(5, data.known[text].sum())
            assert data.known[text, asked].all()


def test_a_step_depends_on_seed_and_number_alone():
    data, settings = teacher(), LmSettings(texts_per_batch=4, questions_per_text=3)
    forwards, backwards = Sampler(data, settings), Sampler(data, settings)
    there = [forwards.step(number) for number in range(6)]
    back = [backwards.step(number) for number in reversed(range(6))][::-1]
    for one, other in zip(there, back, strict=True):
        assert one.texts.tolist() == other.texts.tolist()
        assert np.concatenate(one.questions).tolist() == np.concatenate(other.questions).tolist()
    other_seed = Sampler(data, settings.model_copy(update={"seed": 1}))
    assert other_seed.step(0).texts.tolist() != there[0].texts.tolist()


def test_labels_come_in_the_order_of_the_cells():
    data = teacher()
    step = Sampler(data, LmSettings(texts_per_batch=3, questions_per_text=4)).step(0)
    labels = [
        data.labels[text, question]
        for text, asked in zip(step.texts, step.questions, strict=True)
        for question in asked
    ]
    np.testing.assert_allclose(step.yes, labels, rtol=1e-6)
    np.testing.assert_allclose(step.no, 1 - np.array(labels), rtol=1e-6)


def test_unknown_labels_change_nothing():
    data = teacher()
    other = dataclasses.replace(data, labels=np.where(data.known, data.labels, 1 - data.labels))
    for balance in ("none", "weights", "sampling"):
        settings = LmSettings(texts_per_batch=10, questions_per_text=6, balance=balance)
        for number in range(3):
            one, two = Sampler(data, settings).step(number), Sampler(other, settings).step(number)
            assert np.concatenate(one.questions).tolist() == np.concatenate(two.questions).tolist()
            assert one.yes.tolist() == two.yes.tolist()
            assert one.no.tolist() == two.no.tolist()


def test_balanced_sampling_asks_as_many_yes_as_no_where_there_are():
    data = teacher()
    step = Sampler(data, LmSettings(texts_per_batch=29, questions_per_text=4, balance="sampling")).step(0)
    counts = set()
    for text, asked in zip(step.texts, step.questions, strict=True):
        is_yes = data.labels[text] > 0.5
        n_yes, n_no = (is_yes & data.known[text]).sum(), (~is_yes & data.known[text]).sum()
        assert is_yes[asked].sum() == max(min(len(asked) // 2, n_yes), len(asked) - n_no)
        counts.add(int(is_yes[asked].sum()))
    assert counts >= {1, 2, 3}


def test_weights_let_yes_and_no_count_the_same_in_each_question():
    data = teacher()
    yes, no = _class_weights(data)
    for column in range(len(data.questions)):
        labels = data.labels[data.known[:, column], column].astype(float)
        assert yes[column] * labels.sum() == pytest.approx(len(labels) / 2)
        assert no[column] * (1 - labels).sum() == pytest.approx(len(labels) / 2)


def test_a_question_that_is_never_yes_has_a_finite_weight():
    data = teacher()
    never = dataclasses.replace(data, labels=np.zeros_like(data.labels))
    assert _class_weights(never)[0].max() == 10
    np.testing.assert_allclose(_class_weights(never)[1], 0.5)


def test_cross_entropy_is_that_of_torch():
    torch.manual_seed(0)
    margin, labels = 5 * torch.randn(50), torch.rand(50)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(margin, labels)
    torch.testing.assert_close(cross_entropy(margin, labels, 1 - labels), expected)
    weight = torch.tensor([3.0])
    weighted = torch.nn.functional.binary_cross_entropy_with_logits(margin, labels, pos_weight=weight)
    torch.testing.assert_close(cross_entropy(margin, 3 * labels, 1 - labels), weighted)


def test_auc_counts_pairs_over_known_cells():
    data, margins = teacher(), np.random.default_rng(1).integers(0, 5, (30, 12)).astype(np.float32)
    found = question_aucs(margins, data)
    for column in range(12):
        known = data.known[:, column]
        truth, values = data.labels[known, column] > 0.5, margins[known, column]
        pairs = [(a > b) + (a == b) / 2 for a in values[truth] for b in values[~truth]]
        assert found[column] == pytest.approx(np.mean(pairs))
    always = dataclasses.replace(data, labels=np.ones_like(data.labels))
    assert np.isnan(question_aucs(margins, always)).all()


def test_the_validation_sample_is_fixed_and_holds_texts_with_known_cells():
    data = teacher()
    sample = validation_sample(data, 10, seed=3)
    assert len(sample.texts) == 10
    assert sample.known.any(axis=1).all()
    assert sample.texts == validation_sample(data, 10, seed=3).texts != validation_sample(data, 10, seed=4).texts
    assert validation_sample(data, 1000, seed=3).texts == data.texts[:-1]


def test_a_teacher_who_was_asked_nothing_is_refused():
    data = teacher()
    with pytest.raises(BadInput, match="asked nothing"):
        Sampler(dataclasses.replace(data, known=np.zeros_like(data.known)), LmSettings())
