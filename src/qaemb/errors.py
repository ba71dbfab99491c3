"""Errors that a user can act on: each message names the file, row or key, and the way out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from importlib.util import find_spec
from typing import TypeVar

Value = TypeVar("Value")

# The modules that each extra of pyproject.toml brings, as they are imported. A test compares both lists.
_EXTRAS = {
    "pipeline": (
        "accelerate",
        "bm25s",
        "dvc",
        "feast",
        "gguf",
        "great_expectations",
        "h5py",
        "himalaya",
        "joblib",
        "matplotlib",
        "mlflow",
        "nibabel",
        "nilearn",
        "peft",
        "Stemmer",
        "ruamel",
        "threadpoolctl",
    ),
    "gpu": ("vllm",),
    "ray": ("ray",),
    "server": ("anyio", "httpx2", "tenacity"),
    "s3": ("dvc_s3", "s3fs"),
    "redis": ("hiredis", "redis"),
    "postgres": ("psycopg", "psycopg_pool"),
}


class QaembError(Exception):
    """An expected failure. The command line prints its message alone, without a traceback, and exits with 1."""


class BadInput(QaembError):
    """A file or value given by the user is wrong: malformed, of the wrong shape, missing or empty."""


class BadParameter(QaembError):
    """A key or value in params.yaml (or a profile) is unknown or out of range."""


class BadMatrix(QaembError):
    """An answer matrix failed validation; the stages behind it must not run."""


class StoreError(QaembError):
    """The answer store can't be read or written: a damaged block, no space, no permission."""


def require(values: Mapping[str, Value], name: str, what: str, where: str = "") -> Value:
    """Return `values[name]`; BadParameter says that there is no such WHAT (in WHERE) and lists the names there are."""
    require_name(values, name, what, where)
    return values[name]


def require_name(names: Collection[str], name: str, what: str, where: str = "") -> None:
    """Raise BadParameter, which lists the names there are, if `name` is none of them."""
    if name not in names:
        place = f" in {where}" if where else ""
        raise BadParameter(f"no {what} `{name}`{place}; there are: {', '.join(names) or 'none'}")


def install_command(extra: str) -> str:
    """Return what a message says about installing an extra: from a folder, since no package index has qaemb.

    >>> print(install_command("ray"))
    `pip install ".[ray]"` in the folder of qaemb's source
    """
    return f'`pip install ".[{extra}]"` in the folder of qaemb\'s source'


def missing_extra(error: ModuleNotFoundError) -> QaembError | None:
    """Return an error that names the extra with the missing module; None for a module that no extra brings."""
    module = (error.name or "").partition(".")[0]
    for extra, modules in _EXTRAS.items():
        if module in modules:
            return QaembError(f"this command needs the package {module}; run {install_command(extra)}")
    return None


def require_modules(modules: Collection[str]) -> None:
    """Raise QaembError, which names the extra to install, for the first module that is not installed."""
    for module in modules:
        if find_spec(module) is None:
            missing = ModuleNotFoundError(f"no module named {module}", name=module)
            raise missing_extra(missing) or missing


def listed(names: Iterable[str], most: int = 5) -> str:
    """Return names joined by commas; of more than `most` names the first few and the number of the others.

    >>> listed("abcdefg", most=2)
    'a, b and 5 more'
    """
    all_names = list(names)
    more = f" and {len(all_names) - most} more" if len(all_names) > most else ""
    return ", ".join(all_names[:most]) + more
