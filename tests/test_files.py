"""Writing is all or nothing: the old state stays intact on any error, and nothing half-written remains."""

import os
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from qaemb.errors import BadInput, QaembError
from qaemb.files import atomic_file, atomic_folder, read_json, read_table, write_json, write_table, write_text


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write_text(target, "old")
    write_text(target, "new")
    assert target.read_text() == "new"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_target_unchanged_when_writing_a_file_fails(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "a.txt"
    write_text(target, "old")
    with pytest.raises(error), atomic_file(target) as temporary:
        temporary.write_text("half")
        raise error
    assert target.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_target_unchanged_when_writing_a_folder_fails(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "out"
    with atomic_folder(target) as folder:
        write_text(folder / "a", "old")
    with pytest.raises(error), atomic_folder(target) as folder:
        write_text(folder / "b", "half")
        raise error
    assert names(target) == ["a"]
    assert names(tmp_path) == ["out"]


def test_a_folder_is_swapped_not_merged(tmp_path: Path) -> None:
    target = tmp_path / "out"
    for name in ("a", "b"):
        with atomic_folder(target) as folder:
            write_text(folder / name, name)
    assert names(target) == ["b"]
    assert names(tmp_path) == ["out"]


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Path:
    """A real file system of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small tmpfs needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_disk_full_is_said_and_leaves_the_old_state(tiny_disk: Path) -> None:
    target = tiny_disk / "a.txt"
    write_text(target, "old")
    with pytest.raises(QaembError, match=r"no space left while writing .*a\.txt; free some disk space"):
        write_text(target, "x" * 200_000)
    assert target.read_text() == "old"
    assert names(tiny_disk) == ["a.txt"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_no_permission_is_said(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(QaembError, match="no permission to write"):
        write_text(tmp_path / "a.txt", "x")


def test_tables_and_json_round_trip(tmp_path: Path) -> None:
    table = pd.DataFrame({"segment_id": ["a", "b"], "x": [1.0, 2.0]})
    write_table(tmp_path / "t.parquet", table)
    pd.testing.assert_frame_equal(read_table(tmp_path / "t.parquet"), table)
    write_json(tmp_path / "v.json", {"ü": [1, None]})
    assert read_json(tmp_path / "v.json") == {"ü": [1, None]}


def test_missing_and_broken_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"t\.parquet does not exist; run `dvc repro`"):
        read_table(tmp_path / "t.parquet")
    (tmp_path / "t.parquet").write_bytes(b"not parquet at all")
    with pytest.raises(BadInput, match=r"t\.parquet can't be read as a Parquet table"):
        read_table(tmp_path / "t.parquet")
    (tmp_path / "v.json").write_text('{"a": ')
    with pytest.raises(BadInput, match=r"v\.json is not valid JSON: .*line 1"):
        read_json(tmp_path / "v.json")
