"""Hidden states against plain transformers: one text at a time, the whole model, no padding."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

from qaemb.errors import BadInput, BadParameter
from qaemb.models.folder import make_model
from qaemb.models.hidden import HiddenStates
from qaemb.settings import ModelSettings

POOLINGS = ("last", "mean", "mean_text")


def by_hand(folder: Path, text: str, markers: tuple[int, int] | None = None) -> list[dict[str, np.ndarray]]:
    """For each layer the pooled states of one text whose first and last tokens are so many markers.

    None: the model is causal and its tokenizer adds no marker, so that its start token goes before the text.
    """
    model = (AutoModel if markers else AutoModelForCausalLM).from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(text, return_tensors="pt", split_special_tokens=True)["input_ids"]
    if not markers:
        markers = (1, 0)
        ids = torch.cat([torch.tensor([[tokenizer.bos_token_id]]), ids], dim=1)
    with torch.no_grad():
        states = [state[0].double().numpy() for state in model(ids, output_hidden_states=True).hidden_states]
    own = slice(markers[0], ids.shape[1] - markers[1])
    return [{"last": s[own][-1], "mean": s.mean(0), "mean_text": s[own].mean(0)} for s in states]


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_an_encoder_text_by_text(tiny_encoder, layer, pooling):
    texts = ["dog", "i ate an apple in the kitchen", "a [SEP] b", "no."]
    (got,) = HiddenStates(tiny_encoder, (layer, pooling)).vectors(texts)
    assert got.dtype == np.float32
    for vector, text in zip(got, texts, strict=True):
        np.testing.assert_allclose(vector, by_hand(tiny_encoder, text, (1, 1))[layer][pooling], atol=2e-5)


def test_a_causal_model_text_by_text(tiny_llm, texts):
    for layer in (0, 1, 2):
        source = HiddenStates(tiny_llm, (layer, "last"), [(layer, "mean"), (layer, "mean_text")])
        for pooling, vectors in zip(POOLINGS, source.vectors(texts), strict=True):
            for vector, text in zip(vectors, texts, strict=True):
                np.testing.assert_allclose(vector, by_hand(tiny_llm, text)[layer][pooling], atol=2e-5)


def test_layers_of_a_real_model_of_which_only_the_first_are_computed(smollm2):
    texts = ["the dog ran", "I was ten years old when my mother told me that story", "yes"]
    hands = [by_hand(smollm2, text) for text in texts]
    for layers in ((6, 0, 3), (30,), (29,)):
        source = HiddenStates(smollm2, (layers[0], "last"), [(layer, "last") for layer in layers[1:]])
        for layer, vectors in zip(layers, source.vectors(texts), strict=True):
            for vector, hand in zip(vectors, hands, strict=True):
                scale = np.abs(hand[layer]["last"]).max()
                np.testing.assert_allclose(vector / scale, hand[layer]["last"] / scale, atol=1e-5)
    assert len(HiddenStates(smollm2, (6, "last"))._model.layers) == 7


def test_negative_layers_count_from_the_end(tiny_encoder):
    source = HiddenStates(tiny_encoder, (-1, "mean"), [(2, "mean"), (-3, "mean"), (0, "last"), (9, "mean")])
    assert [(spec["layer"], spec["pooling"]) for spec in source.specs] == [(2, "mean"), (0, "mean"), (0, "last")]


@pytest.mark.parametrize("layer", [3, -4])
def test_a_layer_that_the_model_lacks_is_refused(tiny_encoder, layer):
    with pytest.raises(BadParameter, match=f"no layer {layer}: layers are 0 .* to 2, or -3 to -1 from the end"):
        HiddenStates(tiny_encoder, (layer, "last"))


def test_batches_and_order_move_nothing(tiny_llm, texts):
    source = HiddenStates(tiny_llm, (1, "last"))
    many = [*texts, *(f"{text} and {number}" for number in range(120) for text in texts)]
    done: list[int] = []
    (together,) = source.vectors(many, done.append)
    (turned,) = source.vectors(many[::-1])
    assert sum(done) == len(many)
    assert len(done) > 3
    # States are as large as 16, and processors round batches differently: by 6e-5 on one without AVX-512.
    np.testing.assert_allclose(together, turned[::-1], atol=2e-4)
    for text, vector in zip(texts, together, strict=False):
        np.testing.assert_allclose(vector, source.vectors([text])[0][0], atol=2e-4)


def test_a_long_text_keeps_its_end_and_its_markers(tiny_encoder):
    source = HiddenStates(tiny_encoder, (2, "mean"))
    end = "abc " * 60
    (got,) = source.vectors(["xyz " * 50 + end, "qrs " * 90 + end])
    np.testing.assert_allclose(got[0], got[1], atol=1e-5)
    kept = ("".join(end.split()))[-126:]  # 128 places, two of them for markers; each letter is a token
    letters = " ".join(kept[place : place + 3] for place in range(0, 126, 3))
    np.testing.assert_allclose(got[0], by_hand(tiny_encoder, letters, (1, 1))[2]["mean"], atol=1e-4)


def test_a_text_of_which_nothing_is_left_is_pooled_over_the_markers(tiny_encoder):
    last, mean = HiddenStates(tiny_encoder, (1, "last"), [(1, "mean_text")]).vectors(["\u200b"])
    hand = by_hand(tiny_encoder, "\u200b", (0, 0))[1]
    np.testing.assert_allclose(last[0], hand["last"], atol=1e-5)
    np.testing.assert_allclose(mean[0], hand["mean"], atol=1e-5)


def test_a_marker_of_the_tokenizers_own_is_not_doubled(tiny_llm, tmp_path):
    from tokenizers.processors import TemplateProcessing

    folder = tmp_path / "with_start"
    shutil.copytree(tiny_llm, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|im_start|> $A", special_tokens=[("<|im_start|>", tokenizer.bos_token_id)]
    )
    tokenizer.save_pretrained(folder)
    assert AutoTokenizer.from_pretrained(folder)("dog")["input_ids"][0] == tokenizer.bos_token_id
    texts, readouts = ["dog", "I ate an apple"], [(1, "last"), (1, "mean"), (1, "mean_text")]
    plain, marked = (HiddenStates(path, readouts[0], readouts[1:]).vectors(texts) for path in (tiny_llm, folder))
    np.testing.assert_allclose(marked, plain, atol=1e-5)


def test_a_long_text_of_a_causal_model_keeps_its_end_behind_the_start(tiny_llm):
    (got,) = HiddenStates(tiny_llm, (2, "last")).vectors(["b " * 2000 + "dog"])
    tokenizer, model = AutoTokenizer.from_pretrained(tiny_llm), AutoModel.from_pretrained(tiny_llm).eval()
    kept = tokenizer("b " * 2000 + "dog")["input_ids"][-511:]  # 512 places, one of them for the start
    with torch.no_grad():
        states = model(torch.tensor([[tokenizer.bos_token_id, *kept]])).last_hidden_state[0, -1].numpy()
    np.testing.assert_allclose(got[0], states, atol=1e-4)


def test_lower_precision_is_near_and_has_a_key_of_its_own(tiny_llm, texts):
    exact, rough = (HiddenStates(tiny_llm, (2, "last"), dtype=dtype) for dtype in ("float32", "bfloat16"))
    a, b = exact.vectors(texts)[0], rough.vectors(texts)[0]
    assert b.dtype == np.float32
    assert 0 < np.abs(a - b).max() < 0.1 * np.abs(a).max()
    assert exact.specs != rough.specs


def test_an_empty_text_is_refused(tiny_llm):
    with pytest.raises(BadInput, match="text number 1 is empty"):
        HiddenStates(tiny_llm, (0, "last")).vectors(["a", " "])


def test_an_encoder_decoder_is_refused(tiny_encoder, tmp_path):
    from transformers import T5Config, T5Model

    config = T5Config(vocab_size=64, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2, architectures=["T5Model"])
    T5Model(config).save_pretrained(tmp_path / "t5")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tiny_encoder / name, tmp_path / "t5" / name)
    make_model("t5", ModelSettings(source="folder", path=tmp_path / "t5", kind="encoder"), tmp_path / "made")
    with pytest.raises(BadInput, match="model `t5` is an encoder-decoder"):
        HiddenStates(tmp_path / "made", (0, "mean"))
