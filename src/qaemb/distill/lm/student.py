"""A causal language model with LoRA: its forward pass over packed cells, and the loss of its margins.

The module works in torch: import it only where a model is trained or merged.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import linear, softplus

from qaemb.answers.engines.reference import ReferenceAnswerer
from qaemb.answers.packing import Pack
from qaemb.answers.rendering import Labels, Rendered, margin_and_mass
from qaemb.distill.lm.batches import Packed, batch, pack_text
from qaemb.errors import BadInput, BadParameter
from qaemb.models.kv import additive
from qaemb.settings import AnswererSettings, LmSettings

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel


def cross_entropy(margin: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    """Return the mean over cells of yes * -log s(margin) + no * -log s(-margin), s the logistic function; a scalar.

    `yes` and `no` (cells,) are weight times label and weight times (1 - label).
    """
    return (yes * softplus(-margin) + no * softplus(margin)).mean()


def _margin_from_hidden(hidden: Tensor, head: torch.nn.Linear, labels: Labels) -> tuple[Tensor, Tensor]:
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


def _mean_log_mass(hidden: Tensor, head: torch.nn.Linear, label_sum: Tensor) -> Tensor:
    """Return the mean over cells of log(P(yes) + P(no)), a scalar; `label_sum`: see `_margin_from_hidden`."""
    everything = head(hidden).float().logsumexp(1)
    return (label_sum - everything).mean()


_MAX_NODES = 1024  # tokens of one sequence besides its text
_ALIKE = {"float32": 0.01, "bfloat16": 1.0}  # nats; rounding stays far below, a mask that a model ignores does not


def _frame(base: Path, prompt: str) -> ReferenceAnswerer:
    """Return prompt, tokenizer, renderer and labels as every engine has them; no weights are loaded.

    BadParameter for a prompt with the question first: packing needs prompts that begin with their text.
    """
    settings = AnswererSettings.model_validate({"engine": "reference", "model": base.name, "prompt": prompt})
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

    def __init__(self, base: Path, settings: LmSettings) -> None:
        from peft import LoraConfig, get_peft_model

        self.settings = settings
        self.frame = _frame(base, settings.prompt)
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
        """Return the margins (cells,) of a batch and, `with_mass`, the mean log mass, both with gradients.

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
        margin, label_sum = _margin_from_hidden(ends, self._head, self.frame.labels)
        first = torch.from_numpy(np.unique(packed.rows, return_index=True)[1])
        return margin, _mean_log_mass(ends[first], self._head, label_sum[first]) if with_mass else None

    def margins(self, rendered: Rendered, texts_per_batch: int) -> NDArray[np.float32]:
        """Return the margins (texts, questions) of all cells, without gradients and without dropout."""
        margins = np.empty((len(rendered.shared), len(rendered.suffixes)), np.float32)
        order = sorted(range(len(margins)), key=lambda text: len(rendered.shared[text]))
        self.peft.eval()
        with torch.inference_mode():
            for start in range(0, len(order), texts_per_batch):
                texts = order[start : start + texts_per_batch]
                trees = [pack_text(rendered.shared[text], rendered.suffixes, _MAX_NODES) for text in texts]
                for k in range(max(map(len, trees))):  # the k-th tree of each text
                    pass_trees = [(text, one[k]) for text, one in zip(texts, trees, strict=True) if k < len(one)]
                    values = self.forward(batch([tree for _, tree in pass_trees]))[0].cpu().numpy()
                    _scatter(margins, pass_trees, values)
        return margins

    def check_alike(self, rendered: Rendered) -> None:
        """Compare one packed cell with its full prompt: an architecture may not take masks and places as given.

        BadInput where it does not, or does something to its logits that is not done here.
        """
        self.peft.eval()
        endings = rendered.suffixes[:4]
        with torch.inference_mode():
            packed = batch(pack_text(rendered.shared[0], endings, sum(map(len, endings))))
            packed_margin = self.forward(packed)[0][-1].item()
            ids = torch.tensor([rendered.shared[0] + endings[-1]], device=self.device)
            logits = self.peft(input_ids=ids, use_cache=False, logits_to_keep=1).logits[:, -1]
            expected = margin_and_mass(logits, self.frame.labels)[0].item()
        if not abs(packed_margin - expected) <= _ALIKE[self.settings.dtype] * max(1.0, abs(expected)):
            raise BadInput(
                f"model `{self.frame.info.name}` can't be trained in packs: its margin is {packed_margin:.3f} packed "
                f"and {expected:.3f} with the full prompt; take another base model"
            )


def _scatter(target: NDArray[np.float32], trees: list[tuple[int, Pack]], values: NDArray[np.float32]) -> None:
    """Put a batch's margins where they belong; they come tree by tree, by member number."""
    start = 0
    for text, tree in trees:
        members = sorted(tree.members)
        target[text, members] = values[start : start + len(members)]
        start += len(members)
