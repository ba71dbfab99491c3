"""Runs that are killed, interrupted or doubled: at most the block in flight is lost, and nothing is answered twice."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from qaemb.answers import build_answerer
from qaemb.answers.plan import Wanted, make_plan
from qaemb.answers.run import run_plan
from qaemb.answers.store import Store
from qaemb.answers.stored import Stored
from qaemb.errors import StoreError
from qaemb.identity import text_id

from .conftest import QUESTIONS, spec_for

N_TEXTS, BLOCK = 120, 4
WORKER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
import numpy as np
from answers.test_answer_run import BLOCK, parts
from qaemb.answers.plan import make_plan
from qaemb.answers.run import run_plan
answerer, store, wanted = parts(Path(sys.argv[1]), Path(sys.argv[2]))
missing = np.isnan(store.read(wanted.segment_ids, wanted.question_ids).margin)
stats = run_plan(answerer, store, wanted, make_plan(answerer, wanted, missing, BLOCK), "test")
print(stats.cells, flush=True)
"""


def parts(model: Path, root: Path):
    answerer = build_answerer("x", spec_for("reference", threads=1), model)
    texts = [f"I ate {number} apples in the kitchen" for number in range(N_TEXTS)]
    wanted = Wanted([text_id(t) for t in texts], texts, [text_id(q) for q in QUESTIONS], QUESTIONS)
    return answerer, Store(root, answerer.key), wanted


def missing_in(store: Store, wanted: Wanted) -> np.ndarray:
    return np.isnan(store.read(wanted.segment_ids, wanted.question_ids).margin)


def finish(answerer, store, wanted):
    plan = make_plan(answerer, wanted, missing_in(store, wanted), BLOCK)
    return plan, run_plan(answerer, store, wanted, plan, "test")


def start(model: Path, root: Path) -> subprocess.Popen:
    tests = str(Path(__file__).parents[1])
    command = [sys.executable, "-c", WORKER, str(model), str(root), tests]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def n_blocks(store: Store) -> int:
    return len(list(store.folder.glob("[!.]*.parquet"))) if store.folder.exists() else 0


@pytest.fixture
def expected(tiny_llm):
    answerer, _, wanted = parts(tiny_llm, Path())
    return answerer.answer(wanted.texts, wanted.questions)


def test_kill_9_loses_at_most_the_block_in_flight_and_resume_does_only_the_rest(tiny_llm, tmp_path, expected):
    answerer, store, wanted = parts(tiny_llm, tmp_path)
    for round_ in range(3):
        before = n_blocks(store)
        process = start(tiny_llm, tmp_path)
        deadline = time.monotonic() + 60
        while n_blocks(store) < before + 3 and time.monotonic() < deadline:
            time.sleep(0.001 + 0.0007 * round_)  # so that rounds are killed at different moments
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert before + 3 <= n_blocks(store) < N_TEXTS // BLOCK
    whole = n_blocks(store)
    assert int((~missing_in(store, wanted)).sum()) == whole * BLOCK * len(QUESTIONS)
    plan, stats = finish(answerer, store, wanted)
    assert stats.cells == plan.n_missing == (N_TEXTS - whole * BLOCK) * len(QUESTIONS)
    assert sum(pq.read_table(path).num_rows for path in store.folder.glob("[!.]*.parquet")) == N_TEXTS  # none twice
    found = Stored("test", answerer, store.root).read(wanted)
    np.testing.assert_allclose(found.margin, expected.margin, atol=1e-4)
    np.testing.assert_allclose(found.mass, expected.mass, atol=1e-4)


def test_two_processes_on_one_store_are_safe(tiny_llm, tmp_path, expected):
    answerer, store, wanted = parts(tiny_llm, tmp_path)
    processes = [start(tiny_llm, tmp_path) for _ in range(2)]
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    np.testing.assert_allclose(Stored("test", answerer, store.root).read(wanted).margin, expected.margin, atol=1e-4)
    cells = sum(int(out.split()[-1]) for out, _ in outputs)
    assert expected.margin.size <= cells <= 2 * expected.margin.size


def test_a_block_that_another_process_published_meanwhile_is_skipped(tiny_llm, tmp_path):
    answerer, store, wanted = parts(tiny_llm, tmp_path)
    plan = make_plan(answerer, wanted, missing_in(store, wanted), BLOCK)
    first = run_plan(answerer, store, wanted, plan, "test")
    again = run_plan(answerer, store, wanted, plan, "test")
    assert (first.cells, again.cells) == (expected_cells := N_TEXTS * len(QUESTIONS), 0)
    assert (first.tokens, again.tokens) == (plan.tokens, 0)
    assert first.cells_per_s == pytest.approx(expected_cells / first.seconds)
    assert again.cells_per_s == 0


def test_ctrl_c_keeps_what_was_published(tiny_llm, tmp_path):
    answerer, store, wanted = parts(tiny_llm, tmp_path)
    answer, calls = answerer.answer, []

    def interrupted(texts, questions, progress=None):
        calls.append(texts)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return answer(texts, questions, progress)

    answerer.answer = interrupted
    with pytest.raises(KeyboardInterrupt):
        finish(answerer, store, wanted)
    assert n_blocks(store) == 2
    assert len(list(store.folder.iterdir())) == 3  # and spec.json: nothing unfinished is left


def test_a_missing_cell_is_an_error(tiny_llm, tmp_path):
    answerer, store, wanted = parts(tiny_llm, tmp_path)
    with pytest.raises(StoreError, match=f"{N_TEXTS * len(QUESTIONS)} cells are not in .*; run `qaemb answers` again"):
        Stored("test", answerer, store.root).read(wanted)
