"""Content hashes: the identity of segments, questions and answerers."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from qaemb.errors import BadInput

_ID_LENGTH = 20  # hex digits, 80 bits: a collision among 10^8 texts has a chance of about 4e-9


def text_id(text: str) -> str:
    """Return the identity of a text (a segment or a question): the first 20 hex digits of its SHA-256.

    >>> text_id("Does the text mention food?")
    '057f141b643aec704d0f'
    """
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:_ID_LENGTH]


def json_id(value: Any) -> str:
    """Return the identity of a JSON-able value; the order of keys does not count."""
    return text_id(json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")))


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hex digits; BadInput when there is no such file."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise BadInput(f"{path} does not exist; run `dvc repro` to make it") from error


def _folder_sha256(folder: Path) -> str:
    """Return one SHA-256 over the relative names and bytes of all files under a folder."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{file_sha256(path)}\n".encode())
    return digest.hexdigest()
