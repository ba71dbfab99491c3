"""A contestant in another environment: a process that is started once and answers JSON lines.

Each request is one line on its standard input, each reply one on its standard output; what it prints otherwise goes
to a log file. A reply with `error`, or none, ends the benchmark with the end of the log.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qaemb.errors import QaembError

ROOT = Path(__file__).parents[2]
_LOG_END = 1500  # characters of the log in an error
_CLOSING_S = 60


@dataclass(frozen=True)
class Command:
    """What to run: an interpreter and its arguments, and the way out where there is none or it fails."""

    name: str
    python: Path
    arguments: Sequence[str]
    way_out: str

    def check(self) -> None:
        """QaembError if the interpreter is not there."""
        if not self.python.exists():
            raise QaembError(f"{self.name}: {self.python} does not exist; {self.way_out}")


class Worker:
    """The process. `hello` is its first line: versions of what it runs."""

    def __init__(self, command: Command, environment: Mapping[str, str], log: Path) -> None:
        command.check()
        self._command, self._log = command, log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w", encoding="utf-8") as errors:
            self._process = subprocess.Popen(
                [str(command.python), *command.arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=ROOT,
                env={**os.environ, **environment},
            )
        self.hello = self._reply()

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return the reply to a request; QaembError if the process failed."""
        stream = self._process.stdin
        try:
            if stream is None:
                raise BrokenPipeError
            stream.write(json.dumps(request) + "\n")
            stream.flush()
        except BrokenPipeError:
            self._fail("it ended")
        return self._reply()

    def close(self) -> None:
        """End the process: it ends by itself when its input does, or is killed."""
        if self._process.stdin:
            with suppress(BrokenPipeError):  # what it never read
                self._process.stdin.close()
        try:
            self._process.wait(_CLOSING_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _reply(self) -> dict[str, Any]:
        line = self._process.stdout.readline() if self._process.stdout else ""
        reply = json.loads(line) if line else {"error": "it ended"}
        if "error" in reply:
            self._fail(str(reply["error"]))
        return dict(reply)

    def _fail(self, problem: str) -> None:
        self.close()
        end = self._log.read_text(encoding="utf-8", errors="replace")[-_LOG_END:]
        raise QaembError(
            f"{self._command.name}: {problem}; {self._command.way_out}\nThe end of {self._log}:\n{end.strip()}"
        )
