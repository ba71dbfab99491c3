"""Adapters: what training changed in a model, a few MB, and models made of a base and its adapter.

An adapter is a folder in the format of the package peft, with `qaemb_adapter.json` beside it, which says what it
belongs to. Merged into its base it is a model like any other, for every engine.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qaemb.errors import BadInput, QaembError
from qaemb.files import plain_os_errors, read_json, write_json
from qaemb.models.folder import INFO_FILE, ModelInfo, make_model, read_model_info
from qaemb.settings import FolderModelSettings

if TYPE_CHECKING:
    from peft import PeftModel

ADAPTER_FILE = "qaemb_adapter.json"


@dataclass(frozen=True)
class AdapterInfo:
    """What an adapter belongs to: its base model, how many of its first layers are kept (None: all), the prompt.

    `package` and `version` name the wheel that the base came from, None where it came from a folder.
    """

    base: str
    base_digest: str
    package: str | None
    version: str | None
    n_layers: int | None
    prompt: dict[str, Any]

    @classmethod
    def of(cls, base: ModelInfo, n_layers: int | None, prompt: dict[str, Any]) -> AdapterInfo:
        """Return what is stored of a base model, the number of layers and the content of a prompt."""
        return cls(base.name, base.digest, base.package, base.version, n_layers, prompt)


def save_adapter(model: PeftModel, info: AdapterInfo, folder: Path) -> None:
    """Write the adapter of a model; no path of this machine is in it."""
    for config in model.peft_config.values():
        config.base_model_name_or_path = info.base
    with _plain_write_errors(folder):
        model.save_pretrained(str(folder), save_embedding_layers=False)  # "auto" asks the hub
    (folder / "README.md").unlink(missing_ok=True)
    write_json(folder / ADAPTER_FILE, asdict(info))


def _read_adapter_info(folder: Path) -> AdapterInfo:
    """Return what an adapter belongs to; BadInput names a file that is missing or has the wrong keys."""
    try:
        return AdapterInfo(**read_json(folder / ADAPTER_FILE))
    except TypeError as error:
        raise BadInput(f"{folder / ADAPTER_FILE} has the wrong keys: {error}; train the student again") from error


def merge_adapter(base: Path, adapter: Path, folder: Path, name: str) -> ModelInfo:
    """Make the model folder of a base with its adapter merged in, in the dtype of the base; return what is in it.

    BadInput if the adapter was trained on another base: neither the same digest nor the same wheel.
    """
    from peft import PeftModel

    from qaemb.distill.lm.student import load_base

    info = _read_adapter_info(adapter)
    _check_base(read_model_info(base), info, adapter)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary:
        source = Path(temporary)
        _copy_tokenizer(base, source)
        model = PeftModel.from_pretrained(load_base(base, "auto", info.n_layers), adapter)
        with _plain_write_errors(folder):
            model.merge_and_unload().save_pretrained(source)
        return make_model(name, FolderModelSettings(source="folder", path=source, kind="causal"), folder)


def _check_base(base: ModelInfo, info: AdapterInfo, adapter: Path) -> None:
    same_wheel = base.package is not None and (base.package, base.version) == (info.package, info.version)
    if base.digest != info.base_digest and not same_wheel:
        wheel = f" ({info.package}=={info.version})" if info.package else ""
        raise BadInput(
            f"the adapter in {adapter} belongs to model `{info.base}`{wheel}, not to `{base.name}`; give that"
        )


def _copy_tokenizer(base: Path, target: Path) -> None:
    """Copy all that is not weights: make_model takes of it what belongs to a model, saving writes a new config."""
    for path in base.iterdir():
        if path.is_file() and path.name != INFO_FILE and ".safetensors" not in path.name:
            shutil.copyfile(path, target / path.name)


@contextmanager
def _plain_write_errors(folder: Path) -> Iterator[None]:
    from safetensors import SafetensorError

    with plain_os_errors(folder):
        try:
            yield
        except SafetensorError as error:  # also where the disk is full
            raise QaembError(
                f"weights can't be written to {folder}: {error}; free some disk space, run again"
            ) from error
