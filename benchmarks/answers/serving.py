"""The other end of `worker`: runs in a peer's own environment, so it needs the standard library alone."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any


def serve(packages: list[str], start: Callable[[], Callable[[dict[str, Any]], dict[str, Any]]]) -> None:
    """Call `start`, say the packages' versions, then answer each line with what its result returns for it.

    Whatever libraries print goes to standard error; an exception is answered with its message and ends the process.
    """
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def reply(value: dict[str, Any]) -> None:
        replies.write(json.dumps(value) + "\n")
        replies.flush()

    try:
        handle = start()
        reply({"versions": {name: version(name) for name in packages}})
        for line in sys.stdin:
            reply(handle(json.loads(line)))
    except Exception as error:
        reply({"error": f"{type(error).__name__}: {error}"})
        raise


def timed(work: Callable[[], Any], cpu_seconds: Callable[[], float] = time.process_time) -> dict[str, Any]:
    """Return what `work` returned, and the CPU and wall seconds that it took."""
    wall, cpu = time.perf_counter(), cpu_seconds()
    result = work()
    return {"result": result, "cpu_s": cpu_seconds() - cpu, "wall_s": time.perf_counter() - wall}
