"""Promise 1: `kill -9` at any moment loses at most the block in flight; nothing torn, nothing twice."""

import shutil
import subprocess

import numpy as np
import pytest

from benchmarks.store.kills import kill_loop
from benchmarks.store.project import Project

from .conftest import answered, begin, block_files, qaemb
from .power import after_power_cut, program


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_promise_1_fifty_kills_lose_nothing(tmp_path):
    project = Project(tmp_path / "project", n_segments=4000, n_questions=20).write()
    seen = kill_loop(project, n_kills=50)
    assert seen.losses == []
    assert seen.kills == 50
    assert seen.writing > 25
    left = project.expected.margin.size - int(project.store.known(*project.ids).sum())
    assert answered(qaemb(project)) == left  # resume does only the rest
    np.testing.assert_array_equal(project.store.read(*project.ids).margin, project.expected.margin)


def test_promise_1_a_killed_run_goes_on_where_it_was(project):
    process = begin(project)
    while len(block_files(project)) < 3 and process.poll() is None:
        pass
    process.kill()
    process.communicate()
    whole = len(block_files(project))
    assert 3 <= whole < project.n_blocks
    assert project.wrong() == []
    assert answered(qaemb(project)) == (project.n_blocks - whole) * project.block_texts * project.n_questions
    assert project.wrong() == []
    assert len(block_files(project)) == project.n_blocks


@pytest.mark.parametrize("names_survive", [False, True])
def test_promise_1_a_power_cut_loses_only_what_was_not_flushed(tmp_path, names_survive):
    """A file system that forgets what no fsync has reached; of names alone it may keep those that were not flushed."""
    project = Project(tmp_path / "project", n_segments=300, n_questions=4, block_texts=20).write()
    for cut in (3, 20, 41, 62, 1000):  # fsyncs until the power is cut
        journal = tmp_path / f"journal{cut}"
        done = qaemb(project, program=program(journal, cut))
        assert done.returncode in (0, 77), done.stderr[-2000:]
        published = after_power_cut(project.store.folder.parent, journal, names_survive)
        assert project.wrong() == []
        there = {path.name for path in block_files(project)}
        assert published <= there  # what `put` had returned from is there
        assert answered(qaemb(project)) == project.expected.margin.size - len(there) * 20 * 4
        shutil.rmtree(project.store.folder.parent)


def test_the_power_cut_is_a_real_one(tmp_path):
    """The same harness finds a loss where a file is renamed without a flush."""
    careless = (
        "import os, pathlib; folder = pathlib.Path('store'); folder.mkdir(); "
        "(folder / 'x.tmp').write_bytes(b'data'); os.replace(folder / 'x.tmp', folder / 'x'); "
        "os.fsync(os.open(folder, os.O_RDONLY))"
    )
    journal = tmp_path / "journal"
    subprocess.run(program(journal, 1000, careless), cwd=tmp_path, check=True)
    after_power_cut(tmp_path / "store", journal, names_survive=True)
    assert (tmp_path / "store" / "x").read_bytes() == b""
