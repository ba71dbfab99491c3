"""The process of a peer: requests, replies, what it prints, and its end."""

import sys
from pathlib import Path

import pytest

from benchmarks.answers.worker import Command, Worker
from qaemb.errors import QaembError

PEER = """
import sys
sys.path.insert(0, sys.argv[1])
from benchmarks.answers.serving import serve, timed

def start():
    print("loading")
    def handle(request):
        print("asked")
        done = timed(lambda: 100 // request["by"])
        return {"value": done.pop("result"), **done}
    return handle

serve(["pytest"], start)
"""


@pytest.fixture
def command(tmp_path) -> Command:
    script = tmp_path / "peer.py"
    script.write_text(PEER)
    return Command("peer", Path(sys.executable), (str(script), str(Path(__file__).parents[2])), "leave it out")


@pytest.fixture
def worker(command, tmp_path):
    worker = Worker(command, {}, tmp_path / "logs" / "peer.log")
    yield worker
    worker.close()


def test_requests_are_answered_by_one_process_and_prints_do_not_disturb(worker, tmp_path):
    assert worker.hello == {"versions": {"pytest": pytest.__version__}}
    replies = [worker.ask({"by": by}) for by in (4, 5)]
    assert [reply["value"] for reply in replies] == [25, 20]
    assert all(reply["cpu_s"] >= 0 and reply["wall_s"] > 0 for reply in replies)
    worker.close()
    assert (tmp_path / "logs" / "peer.log").read_text().split() == ["loading", "asked", "asked"]


def test_an_error_is_told_with_the_end_of_the_log(worker):
    with pytest.raises(QaembError, match=r"(?s)peer: ZeroDivisionError.*leave it out.*Traceback"):
        worker.ask({"by": 0})


def test_a_process_that_has_ended_is_named(worker):
    worker._process.kill()
    worker._process.wait()
    with pytest.raises(QaembError, match="peer: it ended; leave it out"):
        worker.ask({"by": 1})


def test_a_missing_environment_says_how_to_make_it(command, tmp_path):
    missing = Command("peer", tmp_path / "no" / "python", command.arguments, "make it")
    with pytest.raises(QaembError, match=r"no/python does not exist; make it"):
        Worker(missing, {}, tmp_path / "log")
