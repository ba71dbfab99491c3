"""Errors that a user can act on: each message names the file, row or key, and the way out."""

from __future__ import annotations


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
