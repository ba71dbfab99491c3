"""What all engines with a causal language model share: prompt, labels, key, cost, and the frame around a grid.

An engine adds one method, `_grid`, that fills margins and masses of prompts given as token ids. Everything before it
(rendering, cutting) and everything in the key is here, so engines of one key differ in rounding only.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qaemb.answers.answerer import Answerer, Answers, Cost, check_finite, engine_version
from qaemb.answers.prompts import load_prompt
from qaemb.answers.rendering import Labels, Rendered, Renderer, find_labels
from qaemb.errors import BadInput, BadParameter
from qaemb.models.folder import read_model_info
from qaemb.models.inputs import Progress, check_inputs
from qaemb.settings import AnswererSettings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_DEFAULT_CONTEXT = 4096  # for a model whose config names no limit

Grid = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Margin and mass, both (len(shared), len(suffixes))."""


class CausalAnswerer(Answerer):
    """An answerer that reads yes and no off a causal language model's next-token logits. Loads the model when used."""

    def __init__(self, settings: AnswererSettings, folder: Path) -> None:
        if settings.prompt is None:
            raise BadParameter(f"engine `{settings.engine}` needs a `prompt`")
        self.settings, self.engine_name, self.folder = settings, settings.engine, folder
        self.info = read_model_info(folder)
        if self.info.kind != "causal":
            raise BadInput(
                f"model `{self.info.name}` is of kind {self.info.kind}; engine `{settings.engine}` needs causal"
            )
        self.prompt = load_prompt(settings.prompt)

    @cached_property
    def spec(self) -> dict[str, Any]:
        """Model digest, prompt, labels, dtype, version. Not the engine: all of this family agree."""
        return {
            "family": "causal",
            "model_digest": self.info.digest,
            "prompt": self.prompt.content(),
            "labels": {"yes": list(self.labels.yes), "no": list(self.labels.no)},
            "dtype": self.settings.dtype,
            "engine_version": engine_version(),
        }

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The model's tokenizer."""
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self.folder, local_files_only=True)

    @cached_property
    def labels(self) -> Labels:
        """Token ids of yes and no."""
        return find_labels(self.tokenizer, self.prompt.yes_label, self.prompt.no_label)

    @cached_property
    def renderer(self) -> Renderer:
        """Renders this answerer's prompts."""
        from transformers import AutoConfig

        config = AutoConfig.from_pretrained(self.folder, local_files_only=True).get_text_config()
        context = getattr(config, "max_position_embeddings", None) or _DEFAULT_CONTEXT
        return Renderer(self.tokenizer, self.prompt, context)

    def cost(self, texts: Sequence[str], questions: Sequence[str]) -> Cost:
        """Return the tokens of a grid in this engine, without padding, how many texts are cut, and the price if any."""
        check_inputs(texts, questions)
        rendered = self.renderer.render(texts, questions)
        tokens = self._tokens(rendered)
        return Cost(tokens, rendered.n_cut, self._usd(tokens))

    def in_other_order(self) -> CausalAnswerer:
        """Return this answerer with text and question of its prompt in the other order: another key, other answers."""
        other = type(self)(self.settings, self.folder)
        other.prompt = self.prompt.turned()
        return other

    def answer(self, texts: Sequence[str], questions: Sequence[str], progress: Progress | None = None) -> Answers:
        """Return margin and mass of every text and question."""
        check_inputs(texts, questions)
        rendered = self.renderer.render(texts, questions)
        margin, mass = self._grid(rendered, progress or (lambda n_cells: None))
        if not self.renderer.text_first:
            margin, mass = margin.T, mass.T
        return check_finite(Answers(np.ascontiguousarray(margin), np.ascontiguousarray(mass)))

    @abstractmethod
    def _grid(self, rendered: Rendered, progress: Progress) -> Grid:
        """Return margin and mass of all prompts."""

    def _usd(self, tokens: int) -> float | None:
        """Return the price of tokens, None where nothing is billed."""
        return None

    @abstractmethod
    def _tokens(self, rendered: Rendered) -> int:
        """Return the number of tokens that `_grid` sends through the model."""
