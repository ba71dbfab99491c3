"""Identity is content: the same bytes have the same id wherever they stand."""

import hashlib
from pathlib import Path

from qaemb.identity import _folder_sha256, file_sha256, json_id, text_id


def test_text_id_is_the_start_of_sha256() -> None:
    assert text_id("Does it rain?") == hashlib.sha256(b"Does it rain?").hexdigest()[:20]
    assert text_id("naïve ☂") == hashlib.sha256("naïve ☂".encode()).hexdigest()[:20]


def test_json_id_ignores_the_order_of_keys_only() -> None:
    assert json_id({"a": 1, "b": [1, 2]}) == json_id({"b": [1, 2], "a": 1})
    assert json_id({"a": 1, "b": [1, 2]}) != json_id({"a": 1, "b": [2, 1]})


def test_folder_digest_sees_names_and_bytes(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a").write_bytes(b"1")
    first = _folder_sha256(tmp_path)
    assert _folder_sha256(tmp_path) == first
    (tmp_path / "x" / "a").rename(tmp_path / "x" / "b")
    renamed = _folder_sha256(tmp_path)
    (tmp_path / "x" / "b").write_bytes(b"2")
    assert len({first, renamed, _folder_sha256(tmp_path)}) == 3
    assert file_sha256(tmp_path / "x" / "b") == hashlib.sha256(b"2").hexdigest()
