"""Promise 3: two workers on one store are safe."""

import numpy as np
import pytest

from benchmarks.store.project import Project

from .conftest import answered, begin, block_files, qaemb


@pytest.mark.parametrize("n_workers", [2, 4])
def test_promise_3_workers_share_a_store(tmp_path, n_workers):
    project = Project(tmp_path / "project", n_segments=5000, n_questions=8).write()
    workers = [begin(project) for _ in range(n_workers)]
    outputs = [worker.communicate(timeout=240) for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * n_workers, outputs
    np.testing.assert_array_equal(project.store.read(*project.ids).margin, project.expected.margin)
    assert [problem for _, problem in project.store.check() if problem] == []
    n_twice = len(block_files(project)) - project.n_blocks
    done = [_cells(out) for out, _ in outputs]
    assert sum(done) >= project.expected.margin.size
    # What two had in hand at once is answered twice, and little else; both files hold the same answers.
    assert n_twice <= 0.1 * project.n_blocks
    assert len(project.store.duplicates()) == n_twice
    assert len([own for own in done if own]) > 1  # they did share the work


def _cells(out: str) -> int:
    line = next(line for line in out.splitlines() if "answered now" in line)
    return int(line.split(" cells, ")[1].split(" answered now")[0].replace(",", ""))


def test_promise_3_a_second_worker_after_a_first_does_nothing(project):
    begin(project).communicate()
    assert answered(qaemb(project)) == 0
