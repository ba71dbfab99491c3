"""The store: what is put is read, nothing else is, and damage is found and named."""

import itertools
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qaemb.answers.answerer import Answers
from qaemb.answers.blocks import block_name
from qaemb.answers.store import Store
from qaemb.errors import BadInput, StoreError
from qaemb.identity import json_id, text_id

SEGMENTS = [text_id(f"segment {number}") for number in range(8)]
QUESTIONS = [text_id(f"question {number}?") for number in range(5)]


def grid(rows, columns, offset: float = 0.0) -> Answers:
    """Answers that tell where they belong: margin 10 * segment + question."""
    margin = np.array([[10 * row + column + offset for column in columns] for row in rows], np.float32)
    return Answers(margin, (margin / 1000).astype(np.float32))


def put(store: Store, rows, columns, offset: float = 0.0) -> Path:
    name = store.put([SEGMENTS[i] for i in rows], [QUESTIONS[j] for j in columns], grid(rows, columns, offset))
    return store.folder / name


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store", "a" * 20)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    blocks=st.lists(
        st.tuples(
            st.lists(st.sampled_from(range(8)), min_size=1, unique=True),
            st.lists(st.sampled_from(range(5)), min_size=1, unique=True),
        ),
        max_size=5,
    ),
    rows=st.permutations(range(8)),
    columns=st.permutations(range(5)),
)
def test_reading_gives_exactly_what_was_put_in_any_order(tmp_path_factory, blocks, rows, columns):
    store = Store(tmp_path_factory.mktemp("store"), "a" * 20)
    known = set()
    for block in blocks:
        put(store, *block)
        known |= set(itertools.product(*block))
    found = store.read([SEGMENTS[i] for i in rows], [QUESTIONS[j] for j in columns])
    expected = grid(rows, columns)
    has = np.array([[(i, j) in known for j in columns] for i in rows])
    np.testing.assert_array_equal(found.margin, np.where(has, expected.margin, np.nan))
    np.testing.assert_array_equal(found.mass, np.where(has, expected.mass, np.nan))


def test_an_empty_store_has_nothing(store):
    assert np.isnan(store.read(SEGMENTS, QUESTIONS).margin).all()
    assert store.present() == set()


def test_the_layout_is_the_documented_one(store):
    path = put(store, [0, 1], [2, 3])
    segments, questions = SEGMENTS[:2], QUESTIONS[2:4]
    assert path.parent == store.root / store.key
    assert re.fullmatch(rf"{json_id(segments)}-{json_id(questions)}-[0-9a-f]{{64}}\.parquet", path.name)
    assert block_name(segments, questions) in path.name
    assert store.present() == {block_name(segments, questions)}
    assert block_name(segments[::-1], questions) not in store.present()
    table = pq.read_table(path)
    assert table.column_names == ["segment_id", *(f"margin:{q}" for q in questions), *(f"mass:{q}" for q in questions)]
    assert table.column("segment_id").to_pylist() == segments


def test_the_same_answers_make_the_same_file(store):
    assert put(store, [0], [1]) == put(store, [0], [1])
    assert len(list(store.folder.iterdir())) == 1


def test_of_two_blocks_with_one_name_the_smaller_digest_counts(store):
    paths = [put(store, [0, 1], [1], offset) for offset in (0.0, 0.5, 0.25)]
    first = min(paths, key=lambda path: path.name.split("-")[2])
    offset = (0.0, 0.5, 0.25)[paths.index(first)]
    np.testing.assert_array_equal(store.read(SEGMENTS[:2], QUESTIONS[1:2]).margin, grid([0, 1], [1], offset).margin)


def test_another_answerers_blocks_are_not_seen(store):
    put(Store(store.root, "b" * 20), [0], [0])
    assert np.isnan(store.read(SEGMENTS, QUESTIONS).margin).all()


@pytest.mark.parametrize("where", ["first", "middle", "footer", "last", "cut", "longer"])
def test_a_flipped_byte_anywhere_is_found_and_named(store, where):
    path = put(store, range(8), range(5))
    content = bytearray(path.read_bytes())
    place = {"first": 0, "middle": len(content) // 2, "footer": len(content) - 100, "last": len(content) - 1}.get(where)
    if place is None:
        content = content[:-1] if where == "cut" else content + b"x"
    else:
        content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(StoreError, match=rf"block .*{path.name} is damaged .*`qaemb answers repair` sets it aside"):
        store.read(SEGMENTS, QUESTIONS)
    path.unlink()
    assert np.isnan(store.read(SEGMENTS, QUESTIONS).margin).all()


def test_a_file_with_its_right_digest_that_is_not_parquet_is_named(store):
    import hashlib

    store.folder.mkdir(parents=True)
    name = f"{block_name(SEGMENTS, QUESTIONS)}-{hashlib.sha256(b'hello').hexdigest()}.parquet"
    (store.folder / name).write_bytes(b"hello")
    with pytest.raises(StoreError, match="is not a Parquet file"):
        store.read(SEGMENTS, QUESTIONS)


def test_a_foreign_file_is_named_and_a_leftover_of_a_crash_is_not_read(store):
    path = put(store, [0], [0])
    (store.folder / f".{path.name}.abc.tmp").write_bytes(b"half")
    (store.folder / f".{path.name}").write_bytes(b"half")
    assert store.read(SEGMENTS[:1], QUESTIONS[:1]).margin[0, 0] == 0
    (store.folder / "mine.parquet").write_bytes(b"hello")
    with pytest.raises(StoreError, match=r"mine\.parquet does not have the name of a block"):
        store.read(SEGMENTS, QUESTIONS)


def test_answers_of_the_wrong_shape_or_not_finite_are_refused(store):
    with pytest.raises(BadInput, match=r"shape \(2, 1\)"):
        store.put(SEGMENTS[:2], QUESTIONS[:1], grid([0], [0]))
    bad = grid([0], [0])
    bad.margin[0, 0] = np.nan
    with pytest.raises(BadInput, match="finite"):
        store.put(SEGMENTS[:1], QUESTIONS[:1], bad)
    assert not store.folder.exists()


def test_disk_full_is_a_clear_error_and_leaves_the_old_state(tmp_path):
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("mounting a small file system needs root and mount")
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"this machine does not allow mounts: {mounted.stderr.decode().strip()}")
    try:
        store = Store(small / "store", "a" * 20)
        old = put(store, range(8), range(5))
        ids = [text_id(f"many {number}") for number in range(20_000)]
        values = np.random.default_rng(0).normal(size=(20_000, 5)).astype(np.float32)
        with pytest.raises(StoreError, match=r"no space left while writing .*; free some disk space"):
            store.put(ids, QUESTIONS, Answers(values, values))
        assert list(store.folder.iterdir()) == [old]
        np.testing.assert_array_equal(store.read(SEGMENTS, QUESTIONS).margin, grid(range(8), range(5)).margin)
    finally:
        subprocess.run(["umount", str(small)], check=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_no_permission_is_a_clear_error(store):
    put(store, [0], [0])
    store.folder.chmod(0o500)
    with pytest.raises(StoreError, match="no permission to write"):
        put(store, [1], [0])


def test_an_interrupted_write_leaves_nothing(store, monkeypatch):
    put(store, [0], [0])
    before = list(store.folder.iterdir())

    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("qaemb.files.os.replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        put(store, [1], [0])
    assert list(store.folder.iterdir()) == before


def test_a_refused_write_is_a_store_error(store, monkeypatch):
    def refuse(*args: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("qaemb.files.os.replace", refuse)
    with pytest.raises(StoreError, match="no permission to write .*make its folder writable"):
        put(store, [1], [0])
    assert not list(store.folder.iterdir())
