"""Label tokens, margin and mass against plain sums of probabilities."""

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from qaemb.answers.rendering import Labels, find_labels, margin_and_mass
from qaemb.errors import BadInput


class Vocabulary:
    """A stand-in for a tokenizer, of which only the vocabulary is asked."""

    def __init__(self, *words: str) -> None:
        self.words = {word: number for number, word in enumerate(words)}

    def get_vocab(self) -> dict[str, int]:
        return self.words


def test_all_one_token_spellings_are_found():
    vocabulary = Vocabulary("x", "Yes", "ĠYes", "yes", "▁yes", "YES", "ĠYess", "No", "Ġno", "NO", "not")
    assert find_labels(vocabulary, "Yes", "No") == Labels(yes=(1, 2, 3, 4, 5), no=(7, 8, 9))


def test_every_label_token_decodes_to_the_label(tiny_llm):
    tokenizer = AutoTokenizer.from_pretrained(tiny_llm)
    labels = find_labels(tokenizer, "Yes", "No")
    assert {tokenizer.decode([token]).strip().lower() for token in labels.yes} == {"yes"}
    assert {tokenizer.decode([token]).strip().lower() for token in labels.no} == {"no"}
    assert min(len(labels.yes), len(labels.no)) >= 2


def test_labels_that_are_not_one_token_or_the_same_are_refused():
    with pytest.raises(BadInput, match="label `Nope` is not one token"):
        find_labels(Vocabulary("Yes", "No"), "Yes", "Nope")
    with pytest.raises(BadInput, match="are the same token"):
        find_labels(Vocabulary("Yes", "yes"), "Yes", "yes")


def test_margin_and_mass_equal_sums_of_probabilities():
    logits = np.random.default_rng(0).normal(0, 4, (50, 30)).astype(np.float32)
    p = np.exp(logits.astype(np.float64))
    p /= p.sum(1, keepdims=True)
    yes, no = p[:, [3, 7, 9]].sum(1), p[:, [1, 20]].sum(1)
    margin, mass = margin_and_mass(torch.tensor(logits), Labels((3, 7, 9), (1, 20)))
    np.testing.assert_allclose(margin.numpy(), np.log(yes) - np.log(no), atol=1e-5)
    np.testing.assert_allclose(mass.numpy(), yes + no, atol=1e-6)


def test_extreme_logits_stay_finite():
    margin, mass = margin_and_mass(
        torch.tensor([[1000.0, -1000.0, 0.0], [-1000.0, -1000.0, 900.0]]), Labels((0,), (1,))
    )
    assert margin.tolist() == [2000.0, 0.0]
    assert mass.tolist() == [1.0, 0.0]
