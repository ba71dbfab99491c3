"""Packed cells are computed as their full prompts are: the promise on which training in packs stands."""

import numpy as np
import pytest
import torch

from qaemb.answers import build_answerer
from qaemb.answers.rendering import margin_and_mass
from qaemb.distill.lm.student import LmStudent, batch, pack_text
from qaemb.errors import BadInput, BadParameter
from qaemb.settings import AnswererSettings, LmSettings

from .conftest import QUESTIONS

TEXTS = ["dog lamp soup door", "cow", "the road, and then a house with a lamp; Ünïcödé 雨", "<|im_end|> Yes"]
MORE = [*QUESTIONS, "Does the text mention a lamp?", "Does it end?", "Is it a dog?", "Does the text end?"]


def packed_logits(lm: LmStudent, text: int, rendered) -> torch.Tensor:
    """Logits (questions, vocabulary) at the ends of one packed text, from the model's own head."""
    one = batch(pack_text(rendered.shared[text], rendered.suffixes, 10_000))
    visible = torch.from_numpy(one.visible)[:, None]
    mask = torch.where(visible, 0.0, torch.finfo(torch.float32).min)
    with torch.inference_mode():
        logits = lm.peft(
            input_ids=torch.from_numpy(one.ids), attention_mask=mask, position_ids=torch.from_numpy(one.places)
        ).logits
    return logits[one.rows, one.ends]


def full_logits(lm: LmStudent, ids: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        return lm.peft(input_ids=torch.tensor([ids])).logits[0, -1]


def disturbed(lm: LmStudent) -> LmStudent:
    """A student whose LoRA is not zero, as after some training."""
    torch.manual_seed(1)
    with torch.no_grad():
        for value in lm.learnt().values():
            value.copy_(0.1 * torch.randn_like(value))
    return lm


@pytest.mark.parametrize("prompt", ["text_first", "short"])
def test_packed_logits_are_those_of_the_full_prompts(llama, short_prompt, prompt):
    lm = disturbed(LmStudent(llama, LmSettings(prompt=short_prompt if prompt == "short" else prompt)))
    rendered = lm.frame.renderer.render(TEXTS, MORE)
    for text, shared in enumerate(rendered.shared):
        packed = packed_logits(lm, text, rendered)
        full = torch.stack([full_logits(lm, shared + ending) for ending in rendered.suffixes])
        assert full.std(dim=0).max() > 0.1
        torch.testing.assert_close(packed, full, rtol=0, atol=1e-4)


def test_packed_logits_of_smollm2_are_those_of_the_full_prompts(smollm2, short_prompt):
    lm = LmStudent(smollm2, LmSettings(prompt=short_prompt, rank=2))
    rendered = lm.frame.renderer.render(["I ate soup with my brother."], MORE[-3:])
    packed = packed_logits(lm, 0, rendered)
    full = torch.stack([full_logits(lm, rendered.shared[0] + ending) for ending in rendered.suffixes])
    torch.testing.assert_close(packed, full, rtol=0, atol=1e-4 * full.abs().max().item())


def test_the_training_pass_gives_margin_and_mass_of_the_full_prompts(llama):
    lm = disturbed(LmStudent(llama, LmSettings(prompt="text_first")))
    rendered = lm.frame.renderer.render(TEXTS, MORE)
    asked = [[0, 3, 5], [2], [5, 1, 0, 4], [3, 2]]
    trees = [
        pack_text(shared, [rendered.suffixes[question] for question in some], 10_000)[0]
        for shared, some in zip(rendered.shared, asked, strict=True)
    ]
    margin, log_mass = lm.forward(batch(trees), with_mass=True)
    cells = [(text, question) for text, some in enumerate(asked) for question in some]
    logits = torch.stack([full_logits(lm, rendered.shared[t] + rendered.suffixes[q]) for t, q in cells])
    expected, mass = margin_and_mass(logits, lm.frame.labels)
    torch.testing.assert_close(margin.detach(), expected, rtol=0, atol=1e-4)
    assert log_mass.item() == pytest.approx(mass[[0, 3, 4, 8]].log().mean().item(), abs=1e-4)  # first of each text


def test_margins_are_those_of_engine_reference_whatever_the_batch(llama, monkeypatch):
    lm = LmStudent(llama, LmSettings(prompt="text_first"))
    rendered = lm.frame.renderer.render(TEXTS, MORE)
    settings = AnswererSettings(engine="reference", model="llama", prompt="text_first")
    expected = build_answerer("x", settings, llama).answer(TEXTS, MORE).margin
    assert expected.std() > 0.01
    np.testing.assert_allclose(lm.margins(rendered, 1), expected, atol=1e-4)
    np.testing.assert_allclose(lm.margins(rendered, 3), expected, atol=1e-4)
    monkeypatch.setattr("qaemb.distill.lm.student._MAX_NODES", 30)  # several trees a text
    np.testing.assert_allclose(lm.margins(rendered, 3), expected, atol=1e-4)


def test_a_batch_is_its_trees_side_by_side():
    first = pack_text([7, 8], [[1, 2], [1, 3]], 100)[0]
    second = pack_text([9], [[4]], 100)[0]
    both = batch([first, second])
    assert both.ids.tolist() == [[7, 8, 1, 2, 3], [9, 4, 0, 0, 0]]
    assert both.places.tolist() == [[0, 1, 2, 3, 3], [0, 1, 0, 0, 0]]
    assert (both.rows.tolist(), both.ends.tolist()) == ([0, 0, 1], [3, 4, 1])
    assert both.n_tokens == 7
    assert both.visible[0].astype(int).tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 1, 0, 1],
    ]
    padded = np.eye(5, dtype=bool)  # sees itself alone
    padded[1, 0] = True
    assert both.visible[1].tolist() == padded.tolist()


def test_a_cell_keeps_its_place_when_questions_come_unsorted():
    endings = [[5, 1], [2], [5, 0]]
    one = batch(pack_text([9], endings, 100))
    assert [one.ids[0, end] for end in one.ends] == [1, 2, 0]


def test_a_prompt_with_the_question_first_is_refused(llama):
    with pytest.raises(BadParameter, match="has the question first"):
        LmStudent(llama, LmSettings(prompt="question_first"))


def test_a_model_that_does_more_to_its_logits_is_refused(llama):
    lm = LmStudent(llama, LmSettings(prompt="text_first"))
    rendered = lm.frame.renderer.render(TEXTS, MORE)
    lm.check_alike(rendered)
    head = lm.peft.get_base_model().get_output_embeddings()
    head.register_forward_hook(lambda layer, inputs, output: 3 * output.tanh())
    with pytest.raises(BadInput, match="can't be trained in packs"):
        lm.check_alike(rendered)


def test_more_layers_than_there_are_is_refused(llama):
    with pytest.raises(BadParameter, match="n_layers is 4; the model in .* has 3 layers"):
        LmStudent(llama, LmSettings(prompt="text_first", n_layers=4))
