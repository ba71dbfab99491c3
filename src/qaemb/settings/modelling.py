"""Settings of the stages `encode`, `interpret` and `select`: encoding models, what they mean, choosing questions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator, model_validator

from qaemb.settings.base import Section

if TYPE_CHECKING:
    from qaemb.arrays import Array


class EncodeSettings(Section):
    """Encoding models: which spaces, joined how, under which protocol (stage `encode`; docs/protocols.md)."""

    protocol: Literal["strict", "reference", "paper"] = "strict"
    delays: list[int] = Field([1, 2, 3, 4], min_length=1)
    alphas_log10: tuple[float, float, int] = Field((1.0, 5.5, 10), description="first, last, how many")
    n_folds: int = Field(4, ge=2, description="strict: folds over train stories")
    holdout: float = Field(0.15, gt=0, lt=1, description="reference: last share of train rows that chooses alpha")
    n_components: int = Field(100, ge=1, description="paper: response components that the model is fitted on")
    n_bootstraps: int = Field(5, ge=1, description="paper: random draws of held-out chunks that choose alpha")
    chunk_trs: int = Field(40, ge=1, description="paper: TRs in a chunk")
    n_chunks: int = Field(125, ge=1, description="paper: chunks held out in a draw")
    voxel_block: int = Field(4096, ge=1, description="voxels read at once")
    threads: int | None = Field(None, ge=1, description="CPU threads, each with its own voxels; default: all cores")
    precision: Literal["float32", "float64"] = Field(
        "float32", description="of sums and products with responses; float64 takes twice the time and memory"
    )
    engine: Literal["sums", "himalaya"] = Field("sums", description="sums: the project's solver, on CPUs")
    backend: Literal["numpy", "torch", "torch_cuda"] = Field(
        "numpy", description="engine `himalaya`: where it computes"
    )
    spaces: dict[str, list[str]] = Field(description="name of a model: feature spaces joined in it")
    banded: list[str] = Field([], description="models whose spaces have a penalty each: banded ridge")
    n_band_candidates: int = Field(30, ge=0, description="random ratios of penalties that banded ridge tries")
    n_permutations: int = Field(1000, ge=0, description="surrogate predictions for each voxel's p; 0: no test")
    block_trs: int = Field(25, ge=1, description="TRs in one block of the jackknife")
    seed: int = 0

    @property
    def alphas(self) -> Array:
        """The penalties to choose from, (alphas,), in the unit of X'X (a sum over rows, not a mean)."""
        import numpy as np

        return np.logspace(*self.alphas_log10)

    @model_validator(mode="after")
    def _banded_models_have_bands(self) -> EncodeSettings:
        for name in self.banded:
            if len(self.spaces.get(name, [])) < 2:
                raise ValueError(f"banded: `{name}` must be a model of `spaces` that joins two spaces or more")
        if self.protocol == "paper" and (self.banded or self.engine != "sums"):
            raise ValueError("protocol `paper` is plain ridge from sums: take `banded` and `engine` out")
        return self

    @model_validator(mode="after")
    def _paper_delays_from_one_on(self) -> EncodeSettings:
        if self.protocol == "paper" and self.delays != list(range(1, len(self.delays) + 1)):
            raise ValueError(
                "protocol `paper` delays by 1 to k TRs: write `delays` as [1, 2, ..., k], k in the paper 4, 8 or 12"
            )
        return self


class InterpretSettings(Section):
    """What drives the voxels of encoding models (stage `interpret`; docs/interpretation.md)."""

    models: list[str] = Field([], description="models of encode.spaces, fitted with one penalty under strict/reference")
    n_groups: Literal[2, 4, 8, 16, 32] = Field(
        8, description="groups of train stories that are resampled; where there are fewer stories, fewer groups"
    )
    top_k: int = Field(10, ge=1, description="questions listed for each voxel")
    cluster_r: float = Field(0.5, gt=0, lt=1, description="mean |r| above which clusters of questions are joined")
    n_maps: int = Field(1, ge=0, description="questions shown on the cortex of each subject: those that add most")
    seed: int = 0


SelectionMethod = Literal["elastic_net", "stability", "greedy"]


class SelectSettings(Section):
    """Question selection on one QA space (stage `select`)."""

    spaces: list[str]
    methods: list[SelectionMethod] = Field(["elastic_net"], min_length=1, description="the set is chosen by the first")
    l1_ratio: float = Field(0.9, gt=0, le=1)
    n_alphas: int = Field(20, ge=2)
    alpha_min_ratio: float = Field(0.02, gt=0, lt=1, description="smallest penalty as a share of the largest")
    sizes: list[int] = Field([], description="set sizes to score; empty: those that the elastic net's path visits")
    n_resamples: int = Field(20, ge=2, description="stability: halves of the train stories")
    stable_share: float = Field(0.9, gt=0.5, le=1, description="stability: share of halves that must keep a question")
    greedy_voxels: int = Field(1000, ge=1, description="greedy: voxels per subject, drawn at random, it is scored on")
    n_random: int = Field(5, ge=1, description="random subsets per size")
    seed: int = 0

    @field_validator("methods")
    @classmethod
    def _different(cls, methods: list[SelectionMethod]) -> list[SelectionMethod]:
        if len(set(methods)) < len(methods):
            raise ValueError(f"{', '.join(methods)}: name each method once")
        return methods
