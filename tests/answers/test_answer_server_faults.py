"""Engine `server` and what passes: faults that are tried again, a server that dies, Ctrl-C."""

import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import numpy as np
import pytest

from qaemb.answers import build_answerer
from qaemb.answers.engines.server import client as server_client
from qaemb.answers.plan import Wanted, make_plan
from qaemb.answers.run import run_plan
from qaemb.answers.store import Store
from qaemb.answers.stored import Stored
from qaemb.errors import QaembError
from qaemb.identity import text_id

from .conftest import QUESTIONS, TEXTS, spec_for
from .model_server import Fault, answerer_of, failure, serving

CLIENT = """
import signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path.insert(0, sys.argv[1])
from types import SimpleNamespace
from answers.conftest import QUESTIONS, TEXTS
from answers.model_server import answerer_of
try:
    answerer_of(SimpleNamespace(url=sys.argv[2]), Path(sys.argv[3])).answer(TEXTS, QUESTIONS)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
N_CELLS = len(TEXTS) * len(QUESTIONS)


@pytest.fixture
def server(tiny_llm):
    with serving(tiny_llm) as running:
        yield running


@pytest.fixture(autouse=True)
def pauses(monkeypatch) -> list[float]:
    """The pauses between tries, which are not waited for."""
    made: list[float] = []

    async def record(seconds: float) -> None:
        made.append(seconds)

    monkeypatch.setattr(server_client, "_sleep", record)
    return made


@pytest.fixture(scope="module")
def expected(tiny_llm):
    return build_answerer("r", spec_for("reference", threads=1), tiny_llm).answer(TEXTS, QUESTIONS)


def test_never_more_requests_in_flight_than_allowed(server, tiny_llm, expected):
    answerer = answerer_of(server, tiny_llm, concurrency=3)
    assert answerer._form  # asks the first requests
    together = threading.Barrier(3)  # opens for three at a time, so three are in flight; a fourth would be counted
    server.before = lambda body: together.wait(timeout=30)
    np.testing.assert_allclose(answerer.answer(TEXTS, QUESTIONS).margin, expected.margin, atol=1e-3)
    assert server.most_in_flight == 3


@pytest.mark.parametrize("status", [0, 408, 409, 429, 500, 502, 503])
def test_a_passing_fault_is_tried_again(server, tiny_llm, expected, pauses, status):
    server.faults = [Fault(status)] * 3
    answerer = answerer_of(server, tiny_llm)
    np.testing.assert_allclose(answerer.answer(TEXTS, QUESTIONS).margin, expected.margin, atol=1e-3)
    assert answerer.figures["retries"] == len(pauses) == 3
    assert answerer.figures["requests"] == N_CELLS + 1 + 3


def test_pauses_grow_and_are_bounded(server, tiny_llm, pauses):
    server.faults = [Fault(500)] * 20
    message = failure(answerer_of(server, tiny_llm, max_retries=9))
    assert "failed in 10 of 10 tries, the last time with: 500 planted" in message
    for pause, longest in zip(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60], strict=True):
        assert longest / 2 <= pause <= longest


def test_the_server_says_how_long_to_wait(server, tiny_llm, pauses):
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    values = ["7", date, "Wed, 21 Oct 2015 07:28:00 GMT", "soon"]
    server.faults = [Fault(429, headers={"retry-after": value}) for value in values]
    answerer_of(server, tiny_llm, max_retries=4).answer(TEXTS, QUESTIONS)
    assert pauses[0] == 7
    assert 0 < pauses[1] <= 100
    assert pauses[2] == 0
    assert 4 <= pauses[3] <= 8  # not understood: as after any fourth fault
    server.faults = [Fault(429, headers={"retry-after": "86400"})]
    message = failure(answerer_of(server, tiny_llm))
    assert "asks for a pause of 86,400 s (429 planted)" in message
    assert len(pauses) == 4


def test_a_slow_answer_is_given_up_and_asked_for_again(server, tiny_llm, expected):
    answerer = answerer_of(server, tiny_llm, timeout_s=1.0)
    assert answerer._form  # asks the first requests
    late = threading.Event()
    server.before = lambda body: len(server.bodies) == 2 and late.wait(timeout=30)
    np.testing.assert_allclose(answerer.answer(TEXTS, QUESTIONS).margin, expected.margin, atol=1e-3)
    assert answerer.figures["retries"] >= 1
    server.before = lambda body: late.wait(timeout=30)
    message = failure(answerer_of(server, tiny_llm, timeout_s=1.0, max_retries=0))
    assert "failed in 1 of 1 tries, the last time with: no answer in 1 s (`server.timeout_s`)" in message
    late.set()


def test_a_server_that_dies_loses_the_block_in_flight_and_a_new_one_answers_the_rest(
    server, tiny_llm, tmp_path, expected
):
    wanted = Wanted([text_id(t) for t in TEXTS], TEXTS, [text_id(q) for q in QUESTIONS], QUESTIONS)

    def run(answerer):
        store = Store(tmp_path, answerer.key)
        missing = np.isnan(store.read(wanted.segment_ids, wanted.question_ids).margin)
        return store, run_plan(answerer, store, wanted, make_plan(answerer, wanted, missing, 2), "test")

    def die(body):
        if len(server.bodies) == 1 + 2 * 6 + 3:  # the first request, two blocks, half a block
            threading.Thread(target=server.shutdown).start()
            server.server_close()
        if len(server.bodies) >= 1 + 2 * 6 + 3:
            raise ConnectionAbortedError

    server.before = die
    with pytest.raises(QaembError, match="the 6 cells of this call are lost, .* in the store: run again to go on"):
        run(answerer_of(server, tiny_llm, concurrency=2))
    with serving(tiny_llm, server.server_address[1]) as again:
        store, stats = run(answerer_of(again, tiny_llm))
        assert (stats.cells, len(again.bodies)) == (6, 6 + 1)
    np.testing.assert_allclose(
        Stored("x", answerer_of(again, tiny_llm), store.root).read(wanted).margin, expected.margin, atol=1e-3
    )


def test_ctrl_c_does_not_wait_for_requests_in_flight(server, tiny_llm):
    """In a process of its own: a runner of tests may hold back the signal."""
    done, interrupted = threading.Event(), threading.Event()

    def interrupt(body):
        if interrupted.is_set() or len(server.bodies) < 2:
            return
        interrupted.set()
        client.send_signal(signal.SIGINT)
        done.wait(timeout=60)

    command = [sys.executable, "-c", CLIENT, str(Path(__file__).parents[1]), server.url, str(tiny_llm)]
    client = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    server.before = interrupt
    out, error = client.communicate(timeout=60)  # the server has not answered yet
    assert (client.returncode, out) == (0, "interrupted\n"), error
    assert not done.is_set()
    done.set()
