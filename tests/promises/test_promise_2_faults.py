"""Promise 2: disk full, Ctrl-C, no permission: a clear error, the old state intact."""

import signal
import subprocess

import numpy as np
import pytest

from benchmarks.store.project import Project

from .conftest import answered, begin, block_files, qaemb


def test_promise_2_disk_full_keeps_what_was_bought_and_goes_on_when_there_is_space(tmp_path, small_disk):
    disk = small_disk("size=200k")
    project = Project(tmp_path / "project", n_segments=1000, n_questions=8).write(store=str(disk / "store"))
    done = qaemb(project)
    assert done.returncode == 1
    assert "no space left while writing" in done.stderr.splitlines()[-1]
    assert "free some disk space and run again" in done.stderr
    assert "Traceback" not in done.stderr
    kept = block_files(project)
    assert 0 < len(kept) < project.n_blocks
    assert project.wrong() == []
    assert not list(project.store.folder.glob(".*"))  # nothing unfinished takes the space that is left
    assert not (project.folder / "data" / "work" / "answers").exists()
    subprocess.run(["mount", "-o", "remount,size=20m", str(disk)], check=True)
    assert answered(qaemb(project)) == (project.n_blocks - len(kept)) * project.block_texts * project.n_questions
    np.testing.assert_array_equal(project.store.read(*project.ids).margin, project.expected.margin)


def test_promise_2_a_read_only_store_is_read_and_not_written(tmp_path, small_disk):
    disk = small_disk("size=20m")
    project = Project(tmp_path / "project", n_segments=200, n_questions=4).write(store=str(disk / "store"))
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    done = qaemb(project)
    assert done.returncode == 1
    assert "no permission to write" in done.stderr.splitlines()[-1]
    assert "make its folder writable" in done.stderr
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    assert answered(qaemb(project)) == 800
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    assert answered(qaemb(project)) == 0  # the matrix is a read of the store


def test_promise_2_ctrl_c_says_so_and_keeps_what_was_published(tmp_path):
    project = Project(tmp_path / "project", n_segments=4000, n_questions=8).write()
    process = begin(project)
    while len(block_files(project)) < 3 and process.poll() is None:
        pass
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert error.splitlines()[-1].endswith("what was finished is kept, run the same command to go on")
    kept = block_files(project)
    assert 3 <= len(kept) < project.n_blocks
    assert project.wrong() == []
    assert not list(project.store.folder.glob(".*"))
    assert answered(qaemb(project)) == (project.n_blocks - len(kept)) * project.block_texts * project.n_questions


@pytest.mark.parametrize("where", ["matrix", "metrics"])
def test_promise_2_an_old_matrix_stays_where_the_new_one_cannot_be_written(project, where):
    answered(qaemb(project))
    folder = project.folder / "data" / "work" / "answers" / "pub"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (project.store.folder / next(iter(project.store.files()))).write_bytes(b"flipped")
    assert qaemb(project).returncode == 1
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
