"""Engine `vllm`: vLLM's offline engine, one prompt per cell, answered with the log-probabilities of the labels.

Prompts with one prefix follow each other, so that the prefix is in vLLM's cache. The cache holds whole blocks: of a
prefix of 46 tokens and blocks of 32 one block is reused, of one of 31 nothing. Nothing is warmed: vLLM finds the
blocks of the prompts before, of the same step as well. With SmolLM2-135M, 6 texts and 32 questions, warming the header
and each prefix raised the hit rate of the prompts from .477 to .480 (few-shot: .893 to .898), but the tokens computed,
the warming included, from 6,692 to 6,852 (6,340 to 6,532).
"""

from __future__ import annotations

import logging
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from qaemb.answers.engines.causal import CausalAnswerer, Grid
from qaemb.answers.engines.vllm_process import CPU_BLOCK, CUDA_BLOCK, Engine, Launch, join
from qaemb.answers.rendering import Rendered
from qaemb.errors import BadInput
from qaemb.models.inputs import Progress
from qaemb.settings import CausalAnswererSettings

if TYPE_CHECKING:
    from vllm import SamplingParams

_log = logging.getLogger("qaemb.answers.vllm")


class VllmAnswerer(CausalAnswerer):
    """Answers with vLLM, for any model that vLLM runs. Answerers that differ in the prompt alone share one engine."""

    settings: CausalAnswererSettings

    def __init__(self, settings: CausalAnswererSettings, folder: Path) -> None:
        super().__init__(settings, folder)
        self._engine: Engine | None = None
        self._prompt_tokens = self._cached_tokens = 0

    @property
    def engine(self) -> Engine:
        """The running engine, started when first used."""
        if self._engine is None:
            settings = self.settings
            self._engine = join(
                Launch(
                    self.folder,
                    self.info.digest,
                    settings.dtype,
                    settings.threads,
                    settings.batch_tokens,
                    settings.vllm,
                )
            )
        return self._engine

    @property
    def figures(self) -> dict[str, float]:
        """`prefix_hit_rate`: the share of prompt tokens that came from the cache; empty before the first answer."""
        if not self._prompt_tokens:
            return {}
        return {"prefix_hit_rate": self._cached_tokens / self._prompt_tokens}

    def close(self) -> None:
        """Leave the engine; its processes end when no answerer uses it any more. A later answer starts it anew."""
        if self._engine is not None:
            self._engine.leave()
            self._engine = None

    @cached_property
    def _params(self) -> SamplingParams:
        """One token, greedily, with the log-probabilities of the labels over the whole vocabulary."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        return SamplingParams(
            max_tokens=1,
            temperature=0,
            detokenize=False,
            logprob_token_ids=[*self.labels.yes, *self.labels.no],
            output_kind=RequestOutputKind.FINAL_ONLY,
            skip_clone=True,
        )

    def _grid(self, rendered: Rendered, progress: Progress) -> Grid:
        engine = self.engine
        self._check_length(rendered, engine.longest)
        prompts = (shared + suffix for shared in rendered.shared for suffix in rendered.suffixes)
        labels = [*self.labels.yes, *self.labels.no]
        scores = np.empty((len(rendered.shared) * len(rendered.suffixes), len(labels)))
        n_tokens = n_cached = 0
        with closing(engine.run(prompts, self._params)) as outputs:
            for number, output in outputs:
                logprobs = output.outputs[0].logprobs[0]
                scores[number] = [logprobs[token].logprob for token in labels]
                n_tokens += len(output.prompt_token_ids)
                n_cached += output.num_cached_tokens
                progress(1)
        self._count(n_tokens, n_cached)
        return self._margin_and_mass(scores, (len(rendered.shared), len(rendered.suffixes)))

    def _margin_and_mass(self, scores: np.ndarray, shape: tuple[int, int]) -> Grid:
        """Return margin and mass of a shape from log-probabilities (cells, labels), those of yes first."""
        n_yes = len(self.labels.yes)
        yes, no = (np.logaddexp.reduce(part, axis=1) for part in (scores[:, :n_yes], scores[:, n_yes:]))
        mass = np.exp(np.logaddexp(yes, no)).clip(max=1.0)
        return (yes - no).reshape(shape).astype(np.float32), mass.reshape(shape).astype(np.float32)

    def _count(self, n_tokens: int, n_cached: int) -> None:
        self._prompt_tokens += n_tokens
        self._cached_tokens += n_cached
        _log.info("%d of %d prompt tokens (%.1f %%) from the cache", n_cached, n_tokens, 100 * n_cached / n_tokens)

    def _check_length(self, rendered: Rendered, longest: int) -> None:
        length = max(map(len, rendered.shared)) + max(map(len, rendered.suffixes))
        if length > longest:
            raise BadInput(
                f"a prompt of {length} tokens does not fit: the model's context or vLLM's cache holds {longest}; raise "
                "`vllm.cpu_cache_gib` or `vllm.gpu_memory`, shorten the text or the question, or use engine `shared`"
            )

    def _tokens(self, rendered: Rendered) -> int:
        """All prompts' tokens without those that the cache surely has: the whole blocks of what was there before.

        That is the prefix in each prompt but the prefix's first, and the header in that, but for the first of all.
        Prompts may have more in common, and a full cache forgets: vLLM may compute a little less, or more.
        """
        n = len(rendered.suffixes)
        total = sum(map(len, rendered.shared)) * n + sum(map(len, rendered.suffixes)) * len(rendered.shared)
        reused = sum(self._whole(len(shared)) for shared in rendered.shared) * (n - 1)
        return total - reused - self._whole(len(rendered.header)) * (len(rendered.shared) - 1)

    def _whole(self, length: int) -> int:
        """Return the tokens of a prefix that fill blocks of the cache."""
        return length // self._block_size * self._block_size

    @cached_property
    def _block_size(self) -> int:
        import torch

        return self.settings.vllm.block_size or (CUDA_BLOCK if torch.cuda.is_available() else CPU_BLOCK)
