"""Settings of feature spaces (stage `features`)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from qaemb.settings.base import Section

_ENCODER = ("model", "segmentation")
_NEEDED = {
    "published": ("published",),
    "embedding": _ENCODER,
    "heads": ("published", *_ENCODER),
    "hidden": (*_ENCODER, "layer", "pooling"),
    "static": ("path",),
    "eng1000": ("path",),
}
_BELONGS = {"path": ("static", "eng1000"), "layer": ("hidden",), "pooling": ("hidden",)}


class SpaceSettings(Section):
    """One feature space; `input` is the path that the DVC stage depends on beside dataset and segments."""

    kind: Literal[
        "qa", "gold", "published", "heads", "embedding", "hidden", "static", "eng1000", "bag_of_words", "word_rate"
    ]
    input: Path
    job: str | None = Field(None, description="qa: the answers job")
    jobs: list[str] | None = Field(
        None, description="qa, in place of `job`: jobs of the same questions, z-scored per story and averaged"
    )
    min_mass: float = Field(
        0.0,
        ge=0,
        le=1,
        description="qa: leave questions of a lower mean mass out, as those that a student abstains from",
    )
    value: Literal["margin", "probability", "binary"] = "margin"
    published: str | None = Field(None, description="published, heads: name of the data set's features")
    model: str | None = Field(None, description="embedding, heads: the encoder; hidden: an encoder or a causal model")
    segmentation: str | None = Field(None, description="embedding, heads, hidden: what is embedded")
    layer: int | None = Field(None, description="hidden: 0 is the input of the first layer, -1 the last layer's output")
    pooling: Literal["last", "mean", "mean_text"] | None = Field(
        None,
        description="hidden: the text's last token, the mean over all tokens with [CLS] and the like, or without those",
    )
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="hidden: what the model computes in")
    path: Path | None = Field(None, description="static, eng1000: the file of word vectors")
    offsets: list[int] = Field([-1, 0, 1], min_length=1, description="heads: TRs whose embeddings answer a TR")
    n_words: int = Field(600, ge=1, description="bag_of_words: the most frequent words of the train stories")
    columns: list[str] | None = Field(None, description="word_rate: any of words, letters, frequency")

    @model_validator(mode="after")
    def _kind_has_its_keys(self) -> SpaceSettings:
        for key in _NEEDED.get(self.kind, ()):
            if getattr(self, key) is None:
                raise ValueError(f"a space of kind `{self.kind}` needs `{key}`")
        for key, kinds in _BELONGS.items():
            if self.kind not in kinds and getattr(self, key) is not None:
                raise ValueError(f"`{key}` belongs to kind {' or '.join(kinds)}, not `{self.kind}`")
        if self.path is not None and not self.path.is_relative_to(self.input):
            raise ValueError(f"`input` must be the file `{self.path}` too, so that DVC sees a change of it")
        if self.kind == "qa" and (self.job is None) == (self.jobs is None):
            raise ValueError("a space of kind `qa` needs `job`, or `jobs` to average several, and not both")
        if self.jobs is not None and (self.kind != "qa" or len(set(self.jobs)) < max(2, len(self.jobs))):
            raise ValueError("`jobs` are two or more different answers jobs of a space of kind `qa`")
        return self


class FeaturesSettings(Section):
    """Feature spaces per story and TR (stage `features`)."""

    lanczos_lobes: int = Field(3, ge=1)
    spaces: dict[str, SpaceSettings]
