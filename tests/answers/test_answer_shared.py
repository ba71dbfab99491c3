"""Engine `shared` beyond the common contract: architectures, lack of memory, the search for a pass's size."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from transformers import AutoModelForCausalLM

from qaemb.answers import build_answerer
from qaemb.errors import BadInput, QaembError
from qaemb.models.folder import make_model
from qaemb.settings import ModelSettings

from .conftest import CONTEXT, QUESTIONS, TEXTS, spec_for

SMALL = {
    "vocab_size": 500,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": CONTEXT,
    "initializer_range": 0.3,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
GROUPED = SMALL | {"num_key_value_heads": 1, "head_dim": 32}
SHARING = {
    "Qwen2": GROUPED,
    "Qwen3": GROUPED,
    "Mistral": GROUPED | {"sliding_window": None},
    "Phi3": GROUPED,
    "Olmo2": GROUPED,
    "Gemma2": GROUPED | {"sliding_window": 400, "query_pre_attn_scalar": 32},
    "Gemma3Text": GROUPED | {"sliding_window": 400, "query_pre_attn_scalar": 32},
    "GPTNeoX": SMALL,
    "GPT2": {
        "vocab_size": 500,
        "n_embd": 64,
        "n_layer": 2,
        "n_head": 2,
        "n_positions": CONTEXT,
        "initializer_range": 0.3,
    },
    "OPT": SMALL | {"ffn_dim": 96, "word_embed_proj_dim": 64, "init_std": 0.3},
}
NOT_SHARING = {
    "Bloom": {"vocab_size": 500, "hidden_size": 64, "n_layer": 2, "n_head": 2, "initializer_range": 0.3},
    "Mamba": {"vocab_size": 500, "hidden_size": 64, "num_hidden_layers": 2, "state_size": 8, "pad_token_id": 0},
}


def model_folder(architecture: str, config: dict, tokenizer: Path, folder: Path) -> Path:
    """A folder with a tiny random model of an architecture and the tokenizer of another folder."""
    torch.manual_seed(1)
    config_class = getattr(transformers, f"{architecture}Config")
    model = AutoModelForCausalLM.from_config(config_class(**config))
    source = folder / "source"
    model.save_pretrained(source)
    for path in tokenizer.glob("*token*"):
        shutil.copy(path, source)
    for path in tokenizer.glob("chat_template.jinja"):
        shutil.copy(path, source)
    make_model("x", ModelSettings(source="folder", path=source, kind="causal"), folder / "model")
    return folder / "model"


@pytest.mark.parametrize("architecture", SHARING)
def test_architectures_answer_as_in_reference(architecture, tiny_llm, tmp_path):
    folder = model_folder(architecture, SHARING[architecture], tiny_llm, tmp_path)
    for prompt in ("text_first", "question_first"):
        a, b = (
            build_answerer("x", spec_for(engine, prompt=prompt), folder).answer(TEXTS, QUESTIONS)
            for engine in ("reference", "shared")
        )
        assert a.margin.std() > 0.01
        np.testing.assert_allclose(b.margin, a.margin, atol=1e-3)
        np.testing.assert_allclose(b.mass, a.mass, atol=1e-3)


@pytest.mark.parametrize("architecture", NOT_SHARING)
def test_an_architecture_that_cannot_share_is_refused(architecture, tiny_llm, tmp_path):
    folder = model_folder(architecture, NOT_SHARING[architecture], tiny_llm, tmp_path)
    with pytest.raises(BadInput, match="use engine `reference`"):
        build_answerer("x", spec_for("shared"), folder).answer(TEXTS, QUESTIONS)
    answers = build_answerer("x", spec_for("reference"), folder).answer(TEXTS[:1], QUESTIONS[:1])
    assert np.isfinite(answers.margin).all()


def answers_where_memory_ends(folder: Path, most_tokens: int, batch_tokens: int):
    """Answers of a model whose passes fail above a number of tokens, as those of a GPU that is too small do."""
    answerer = build_answerer("x", spec_for("shared", batch_tokens=batch_tokens), folder)
    embeddings = answerer.model.get_input_embeddings()

    def refuse(module, inputs):
        if inputs[0].numel() > most_tokens:
            raise torch.OutOfMemoryError("no room")

    embeddings.register_forward_pre_hook(refuse)
    return answerer.answer(TEXTS * 20, QUESTIONS)


def test_out_of_memory_goes_on_with_smaller_passes(tiny_llm):
    expected = build_answerer("x", spec_for("reference"), tiny_llm).answer(TEXTS, QUESTIONS)
    found = answers_where_memory_ends(tiny_llm, most_tokens=700, batch_tokens=4096)
    np.testing.assert_allclose(found.margin, np.tile(expected.margin, (20, 1)), atol=1e-4)


def test_too_little_memory_for_any_pass_is_said(tiny_llm):
    with pytest.raises(QaembError, match="out of memory"):
        answers_where_memory_ends(tiny_llm, most_tokens=200, batch_tokens=4096)


def test_answers_do_not_depend_on_the_search_for_the_size(tiny_llm):
    texts = TEXTS * 40
    searching, fixed = (build_answerer("x", spec_for("shared", batch_tokens=n), tiny_llm) for n in (None, 1024))
    np.testing.assert_allclose(
        searching.answer(texts, QUESTIONS).margin, fixed.answer(texts, QUESTIONS).margin, atol=1e-4
    )


def test_a_prompt_beyond_a_sliding_window_is_refused(tiny_llm, tmp_path):
    folder = model_folder("Mistral", SHARING["Mistral"] | {"sliding_window": 60}, tiny_llm, tmp_path)
    with pytest.raises(BadInput, match="longer than the sliding window"):
        build_answerer("x", spec_for("shared"), folder).answer(["far " * 60], QUESTIONS)
