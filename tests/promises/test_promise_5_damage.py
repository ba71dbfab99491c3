"""Promise 5: a flipped byte is found, named, and repaired by recomputing that block only."""

import os

import numpy as np
import pyarrow.parquet as pq
import pytest

from .conftest import answered, block_files, qaemb

N_PLACES = 6


@pytest.mark.parametrize("place", [*range(N_PLACES), "cut", "longer", "empty"])
def test_promise_5_a_flipped_byte_is_found_named_and_repaired(bought, place):
    project, path = bought, block_files(bought)[7]
    before = {own.name: own.read_bytes() for own in block_files(project)}
    _damage(path, place)
    verified = qaemb(project, "answers", "verify")
    assert verified.returncode == 1
    assert f"{path} is damaged" in verified.stdout.replace("data/store", str(project.store.root))
    assert "1 files" in verified.stderr
    failed = qaemb(project)
    assert failed.returncode == 1
    assert path.name in failed.stderr
    assert "`qaemb answers repair`" in failed.stderr
    repaired = qaemb(project, "answers", "repair")
    assert repaired.returncode == 0, repaired.stderr
    cells = pq.read_metadata(path.parent / _same_cells(project, path.name)).num_rows * project.n_questions
    assert f"{cells} to answer in 1 blocks" in repaired.stdout
    after = {own.name: own.read_bytes() for own in block_files(project)}
    assert {name for name in before if name not in after} <= {path.name}
    assert all(after[name] == before[name] for name in before if name != path.name)
    assert project.wrong() == []
    assert (project.store.root / "damaged" / f"{project.store.key}-{path.name}").exists()
    assert answered(qaemb(project)) == 0
    np.testing.assert_array_equal(project.store.read(*project.ids).margin, project.expected.margin)


def test_promise_5_a_block_under_another_blocks_name_is_found(bought):
    first, second = block_files(bought)[:2]
    head = first.name.rsplit("-", 1)[0]
    os.rename(second, second.with_name(f"{head}-{second.name.rsplit('-', 1)[1]}"))
    verified = qaemb(bought, "answers", "verify")
    assert verified.returncode == 1
    assert "holds other segments or questions than its name says" in verified.stdout
    assert qaemb(bought, "answers", "repair").returncode == 0
    assert bought.wrong() == []
    np.testing.assert_array_equal(bought.store.read(*bought.ids).margin, bought.expected.margin)


def test_promise_5_a_sound_store_needs_no_repair(bought):
    assert "is sound" in qaemb(bought, "answers", "verify").stdout
    before = {own.name: own.read_bytes() for own in block_files(bought)}
    assert "nothing to do" in qaemb(bought, "answers", "repair").stdout
    assert {own.name: own.read_bytes() for own in block_files(bought)} == before


@pytest.fixture
def bought(project):
    answered(qaemb(project))
    return project


def _damage(path, place) -> None:
    content = bytearray(path.read_bytes())
    if place == "cut":
        content = content[:-1]
    elif place == "longer":
        content += b"x"
    elif place == "empty":
        content = bytearray()
    else:
        content[place * (len(content) - 1) // (N_PLACES - 1)] ^= 1 << (place % 8)
    path.write_bytes(content)


def _same_cells(project, name: str) -> str:
    """The file that stands in for a damaged one: of the same segments and questions."""
    head = name.rsplit("-", 1)[0]
    return next(path.name for path in block_files(project) if path.name.startswith(head))
