"""Errors that a user can act on: each message names the file, row or key, and the way out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TypeVar

Value = TypeVar("Value")


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


def listed(names: Iterable[str], most: int = 5) -> str:
    """Return names joined by commas; of more than `most` names the first few and the number of the others.

    >>> listed("abcdefg", most=2)
    'a, b and 5 more'
    """
    all_names = list(names)
    more = f" and {len(all_names) - most} more" if len(all_names) > most else ""
    return ", ".join(all_names[:most]) + more
