"""A real `vllm serve` on 127.0.0.1 for tests, from the environment that runs them: 4 GB, and about 30 s to start."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from .conftest import CONTEXT

NAME, KEY, KEY_VARIABLE = "tiny", "sk-secret-of-the-tests", "QAEMB_TEST_VLLM_KEY"
_START_S, _STOP_S = 180, 20


class VllmServer:
    """One `vllm serve` of a model folder in float32; stopped and started again it keeps its address."""

    def __init__(self, folder: Path, log: Path) -> None:
        self._log = log
        self._port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._command = [
            *(sys.executable, "-m", "vllm.entrypoints.openai.api_server"),
            *("--model", str(folder), "--served-model-name", NAME, "--dtype", "float32"),
            *("--host", "127.0.0.1", "--port", str(self._port), "--api-key", KEY),
            *("--max-model-len", str(CONTEXT), "--block-size", "32", "--enforce-eager"),
        ]

    @property
    def section(self) -> dict[str, Any]:
        """The section `server` of an answerer that asks this server."""
        return {"url": f"http://127.0.0.1:{self._port}/v1", "model": NAME, "api_key_env": KEY_VARIABLE}

    def start(self) -> None:
        """Start the server and wait until it answers."""
        quiet = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, env={**os.environ, **quiet}, start_new_session=True
            )
        end = time.monotonic() + _START_S
        while not self._healthy():
            if self._process.poll() is not None or time.monotonic() > end:
                self.stop(signal.SIGKILL)
                raise RuntimeError(f"vLLM did not start:\n{self._log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.2)

    def stop(self, with_signal: signal.Signals = signal.SIGTERM) -> None:
        """End the server and the processes that it started, which are in its process group."""
        if self._process is None:
            return
        for number in (with_signal, signal.SIGKILL):
            try:
                os.killpg(self._process.pid, number)
                self._process.wait(_STOP_S)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue
        self._process = None

    def _healthy(self) -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{self._port}/health", timeout=5) as answer:
                return answer.status == 200
        except (URLError, OSError):
            return False


@contextmanager
def vllm_serving(folder: Path, log: Path) -> Iterator[VllmServer]:
    """A running server, ended at the end; its key is in the environment. The test is skipped where there is no vLLM."""
    if find_spec("vllm") is None:
        pytest.skip("vLLM is not installed")
    server = VllmServer(folder, log)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(KEY_VARIABLE, KEY)
        try:
            server.start()
            yield server
        finally:
            server.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
