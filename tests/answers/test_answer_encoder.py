"""The encoder against its definition (one text at a time), and against known similarities with real weights."""

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from qaemb.errors import BadInput
from qaemb.models.encoder import Encoder


def by_hand(folder, text: str) -> np.ndarray:
    """Mean of the last hidden states over all tokens of one text, divided by its length."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    ids = tokenizer(text, return_tensors="pt", split_special_tokens=True, truncation=False)["input_ids"]
    with torch.no_grad():
        mean = model(input_ids=ids).last_hidden_state[0].double().mean(0).numpy()
    return mean / np.linalg.norm(mean)


def test_embeddings_are_normalised_means_over_tokens(tiny_encoder, texts):
    vectors = Encoder(tiny_encoder).embed([*texts, "a [SEP] b"])
    assert vectors.dtype == np.float32
    expected = np.stack([by_hand(tiny_encoder, text) for text in [*texts, "a [SEP] b"]])
    np.testing.assert_allclose(vectors, expected, atol=1e-5)


def test_a_text_alone_and_among_others_is_the_same(tiny_encoder, texts):
    encoder = Encoder(tiny_encoder, threads=1)
    together = encoder.embed(texts * 50)
    np.testing.assert_allclose(together[: len(texts)], np.stack([encoder.embed([t])[0] for t in texts]), atol=1e-5)
    np.testing.assert_allclose(together[: len(texts)], together[-len(texts) :], atol=1e-5)


def test_a_long_text_keeps_its_end(tiny_encoder):
    encoder = Encoder(tiny_encoder)
    end = "abc " * 60
    a, b = encoder.embed(["xyz " * 50 + end, "qrs " * 90 + end])
    np.testing.assert_allclose(a, b, atol=1e-5)
    assert encoder.lengths(["ab", "abc " * 90]) == ([4, 128], 1)


def test_an_empty_text_is_refused(tiny_encoder):
    with pytest.raises(BadInput, match="text number 1 is empty"):
        Encoder(tiny_encoder).embed(["a", ""])


def test_other_pooling_than_the_mean_is_refused(tiny_encoder, tmp_path):
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    (tmp_path / "qaemb_model.json").write_text((tiny_encoder / "qaemb_model.json").read_text())
    with pytest.raises(BadInput, match="only mean pooling"):
        Encoder(tmp_path)


def test_minilm_finds_what_is_similar_and_takes_256_tokens(minilm):
    encoder = Encoder(minilm)
    a, b, c = encoder.embed(["A cat sits on the mat.", "There is a kitten on the rug.", "Interest rates rose again."])
    assert a @ b > 0.5
    assert abs(a @ c) < 0.2
    assert encoder.lengths(["word " * 400]) == ([256], 1)
    np.testing.assert_allclose(a, by_hand(minilm, "A cat sits on the mat."), atol=1e-5)
