"""What a training step makes small. Imported only when a model is trained.

Questions about a text packed into one sequence of tokens, and sequences padded into a batch. No tensors.

The prompts of a text, one for each question, begin alike: they are a tree (answers/packing.py) whose trunk is the text.
A token sees its ancestors alone and stands at the place that it has in its own prompt, so that every prompt is computed
as if it stood there by itself, as engine `shared` does.

A causal language model with LoRA: its forward pass over packed cells. Imported only when a model is trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import linear, softplus

from qaemb.answers.engines.reference import ReferenceAnswerer
from qaemb.answers.packing import Pack, pack
from qaemb.answers.rendering import Labels, Rendered, margin_and_mass
from qaemb.distill.lm.settings import LmTraining
from qaemb.errors import BadInput, BadParameter
from qaemb.models.kv import additive
from qaemb.settings import CausalAnswererSettings

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel


def cross_entropy(margin: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    """Return the mean over cells of yes * -log s(margin) + no * -log s(-margin), s the logistic function; a scalar.

    `yes` and `no` (cells,) are weight times label and weight times (1 - label).
    """
    return (yes * softplus(-margin) + no * softplus(margin)).mean()


def margin_from_hidden(hidden: Tensor, head: torch.nn.Linear, labels: Labels) -> tuple[Tensor, Tensor]:
    """Return the margins (cells,) and log P(yes or no) before normalising (cells,), float32.

    `hidden` (cells, d) are the last hidden states at the ends. Only the labels' rows of the head are multiplied: a
    margin needs no other token.
    """
    ids = [*labels.yes, *labels.no]
    bias = None if head.bias is None else head.bias[ids].float()
    logits = linear(hidden.float(), head.weight[ids].float(), bias)
    among_labels = Labels(tuple(range(len(labels.yes))), tuple(range(len(labels.yes), len(ids))))
    margin, _ = margin_and_mass(logits, among_labels)
    return margin, logits.logsumexp(1)


def mean_log_mass(hidden: Tensor, head: torch.nn.Linear, label_sum: Tensor) -> Tensor:
    """Return the mean over cells of log(P(yes) + P(no)), a scalar; `label_sum`: see `margin_from_hidden`."""
    everything = head(hidden).float().logsumexp(1)
    return (label_sum - everything).mean()


Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Packed:
    """A batch of B sequences of at most n tokens, padded on the right, with C cells in all.

    `ids`, `places` int64 (B, n); `visible` bool (B, n, n): whether the token of a row sees the token of a column
    (padding sees itself alone); `rows`, `ends` int64 (C,): sequence and token at which each cell's prompt ends;
    `n_tokens`: tokens without padding.
    """

    ids: Ints
    places: Ints
    visible: NDArray[np.bool_]
    rows: Ints
    ends: Ints
    n_tokens: int


def pack_text(shared: Sequence[int], endings: Sequence[Sequence[int]], max_nodes: int) -> list[Pack]:
    """Return trees of the prompts `shared + ending`, each of at most `max_nodes` tokens besides `shared`."""
    prompts = [[*shared, *ending] for ending in endings]
    return pack(prompts, len(shared) + max_nodes)


def batch(packs: Sequence[Pack]) -> Packed:
    """Return trees side by side as one batch; cells come tree by tree, in the order of the members' numbers."""
    longest = max(len(tree.ids) for tree in packs)
    ids, places = np.zeros((2, len(packs), longest), np.int64)
    visible = np.repeat(np.eye(longest, dtype=bool)[None], len(packs), axis=0)
    rows: list[int] = []
    ends: list[int] = []
    for row, tree in enumerate(packs):
        n = len(tree.ids)
        ids[row, :n], places[row, :n], visible[row, :n, :n] = tree.ids, tree.places(), tree.visible()
        rows += [row] * len(tree.members)
        ends += [end for _, end in sorted(zip(tree.members, tree.ends, strict=True))]
    n_tokens = sum(len(tree.ids) for tree in packs)
    return Packed(ids, places, visible, np.array(rows, np.int64), np.array(ends, np.int64), n_tokens)


_MAX_NODES = 1024  # tokens of one sequence besides its text
_ALIKE = {"float32": 0.01, "bfloat16": 1.0}  # nats; rounding stays far below, a mask that a model ignores does not


def frame(base: Path, prompt: str) -> ReferenceAnswerer:
    """Return prompt, tokenizer, renderer and labels as every engine has them; no weights are loaded.

    BadParameter for a prompt with the question first: packing needs prompts that begin with their text.
    """
    settings = CausalAnswererSettings(engine="reference", model=base.name, prompt=prompt)
    answerer = ReferenceAnswerer(settings, base)
    if answerer.prompt.order != "text_first":
        raise BadParameter(f"prompt `{prompt}` has the question first; an lm student needs one of order text_first")
    return answerer


def load_base(folder: Path, dtype: str, n_layers: int | None) -> PreTrainedModel:
    """Return the first `n_layers` layers (None: all) of a model, with its last norm and head, on the CPU.

    `dtype` "auto" is that of the weights as stored. BadParameter if the model has not so many layers.
    """
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.utils import logging

    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    if n_layers is not None:
        if n_layers > config.num_hidden_layers:
            raise BadParameter(f"n_layers is {n_layers}; the model in {folder} has {config.num_hidden_layers} layers")
        config.num_hidden_layers = n_layers
        if getattr(config, "layer_types", None):
            config.layer_types = config.layer_types[:n_layers]
    before = logging.get_verbosity()
    logging.set_verbosity_error()  # else it warns of every weight of the layers that are left out
    logging.disable_progress_bar()
    try:
        return AutoModelForCausalLM.from_pretrained(
            folder, config=config, dtype=dtype, use_safetensors=True, local_files_only=True
        ).eval()
    except (ValueError, KeyError, OSError, RuntimeError) as error:
        raise BadInput(f"the model in {folder} can't be loaded: {error}; run `qaemb model` again") from error
    finally:
        logging.set_verbosity(before)


class LmStudent:
    """The model in training: margins of cells that are packed text by text."""

    def __init__(self, base: Path, prompt: str, settings: LmTraining) -> None:
        from peft import LoraConfig, get_peft_model

        self.settings = settings
        self.frame = frame(base, prompt)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        config = LoraConfig(
            r=settings.rank,
            lora_alpha=settings.scale * settings.rank,  # type: ignore[arg-type]  # any number works
            lora_dropout=settings.dropout,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        )
        torch.manual_seed(settings.seed)
        self._lm: Any = load_base(base, settings.dtype, settings.n_layers)
        self._head = self._lm.get_output_embeddings()
        self.peft: PeftModel = get_peft_model(self._lm.to(self.device), config)  # type: ignore[arg-type]

    def learnt(self) -> dict[str, torch.nn.Parameter]:
        """Return the parameters that are trained, by name."""
        return {name: value for name, value in self.peft.named_parameters() if value.requires_grad}

    def forward(self, packed: Packed, with_mass: bool = False) -> tuple[Tensor, Tensor | None]:
        """Return the margins (cells,) of a batch and, if asked for, the mean log mass, both with gradients.

        The mass is that of the first cell of each sequence: it takes the whole vocabulary, and is alike in all cells.
        """
        put = {name: torch.from_numpy(getattr(packed, name)).to(self.device) for name in ("ids", "places", "visible")}
        hidden = self._lm.base_model(
            input_ids=put["ids"],
            attention_mask=additive(put["visible"][:, None], self._lm.dtype),
            position_ids=put["places"],
            use_cache=False,
        ).last_hidden_state
        ends = hidden[torch.from_numpy(packed.rows), torch.from_numpy(packed.ends)]
        margin, label_sum = margin_from_hidden(ends, self._head, self.frame.labels)
        first = torch.from_numpy(np.unique(packed.rows, return_index=True)[1])
        return margin, mean_log_mass(ends[first], self._head, label_sum[first]) if with_mass else None

    def margins(self, rendered: Rendered, texts_per_batch: int) -> NDArray[np.float32]:
        """Return the margins (texts, questions) of all cells, without gradients and without dropout."""
        found = np.empty((len(rendered.shared), len(rendered.suffixes)), np.float32)
        order = sorted(range(len(found)), key=lambda text: len(rendered.shared[text]))
        self.peft.eval()
        with torch.inference_mode():
            for start in range(0, len(order), texts_per_batch):
                texts = order[start : start + texts_per_batch]
                trees = [pack_text(rendered.shared[text], rendered.suffixes, _MAX_NODES) for text in texts]
                for k in range(max(map(len, trees))):  # the k-th tree of each text
                    here = [(text, one[k]) for text, one in zip(texts, trees, strict=True) if k < len(one)]
                    values = self.forward(batch([tree for _, tree in here]))[0].cpu().numpy()
                    _scatter(found, here, values)
        return found

    def check_alike(self, rendered: Rendered) -> None:
        """Compare one packed cell with its full prompt: an architecture may not take masks and places as given.

        BadInput where it does not, or does something to its logits that is not done here.
        """
        self.peft.eval()
        endings = rendered.suffixes[:4]
        with torch.inference_mode():
            packed = batch(pack_text(rendered.shared[0], endings, sum(map(len, endings))))
            found = self.forward(packed)[0][-1].item()
            ids = torch.tensor([rendered.shared[0] + endings[-1]], device=self.device)
            logits = self.peft(input_ids=ids, use_cache=False, logits_to_keep=1).logits[:, -1]
            expected = margin_and_mass(logits, self.frame.labels)[0].item()
        if not abs(found - expected) <= _ALIKE[self.settings.dtype] * max(1.0, abs(expected)):
            raise BadInput(
                f"model `{self.frame.info.name}` can't be trained in packs: its margin is {found:.3f} packed and "
                f"{expected:.3f} with the full prompt; take another base model"
            )


def _scatter(target: NDArray[np.float32], here: list[tuple[int, Pack]], values: NDArray[np.float32]) -> None:
    """Put a batch's margins where they belong; they come tree by tree, by member number."""
    start = 0
    for text, tree in here:
        members = sorted(tree.members)
        target[text, members] = values[start : start + len(members)]
        start += len(members)
