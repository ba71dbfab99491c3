"""`feast serve` under load: a real server on loopback, asked by one or several asyncio clients of this process."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import numpy as np

from benchmarks.serving import repositories as repos
from qaemb.identity import text_id

_FEAST = str(Path(sys.executable).with_name("feast"))
_START_SECONDS = 120.0


@dataclass
class Server:
    """A running `feast serve`; `peak_mb` is known after its end: of its largest process."""

    url: str
    process: subprocess.Popen[bytes]
    peak_mb: int = 0


@dataclass(frozen=True)
class Load:
    """Clients that ask for `size` random segments of set `asked`, one request after the other, for some seconds."""

    asked: str
    size: int
    clients: int
    seconds: float
    n_segments: int
    n_questions: int

    @property
    def width(self) -> int:
        """How many questions are asked for."""
        return self.n_questions if self.asked == repos.ALL else repos.N_PART


@contextmanager
def served(repo: Path) -> Iterator[Server]:
    """Start Feast's server with one worker, which is not restarted every 1,000 requests as by default; end it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--host", "127.0.0.1", "--port", str(port), "--no-access-log", "--max-requests", "0"]
    with (repo / "serve.log").open("wb") as log:
        process = subprocess.Popen([_FEAST, "serve", *options], cwd=repo, stdout=log, stderr=log)
        server = Server(f"http://127.0.0.1:{port}", process)
        try:
            _wait_until_up(server)
            yield server
        finally:
            process.terminate()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            server.peak_mb = round(usage.ru_maxrss / 1024)


def ask(server: Server, load: Load) -> dict[str, Any]:
    """Return seconds of each request, and requests per second; the first reply is checked."""
    return asyncio.run(_ask(server.url, load))


async def _ask(url: str, load: Load) -> dict[str, Any]:
    limits = httpx2.Limits(max_connections=load.clients, max_keepalive_connections=load.clients)
    async with httpx2.AsyncClient(base_url=url, timeout=120, limits=limits) as client:
        await _check(client, load)
        begin = time.perf_counter()
        found = await asyncio.gather(*(_client(client, load, seed) for seed in range(load.clients)))
        seconds = [one for own in found for one in own]
        return {"seconds": seconds, "requests_per_s": len(seconds) / (time.perf_counter() - begin)}


async def _client(client: httpx2.AsyncClient, load: Load, seed: int) -> list[float]:
    rng, found = np.random.default_rng(seed), []
    end = time.perf_counter() + load.seconds
    while not found or time.perf_counter() < end:
        body = _body(load, rng.integers(0, load.n_segments, load.size))
        begin = time.perf_counter()
        reply = await client.post("/get-online-features", json=body)
        reply.raise_for_status()
        reply.json()
        found.append(time.perf_counter() - begin)
    return found


async def _check(client: httpx2.AsyncClient, load: Load) -> None:
    rows = np.arange(load.size)
    for _ in range(3):
        reply = (await client.post("/get-online-features", json=_body(load, rows))).json()
    values = dict(zip(reply["metadata"]["feature_names"], reply["results"], strict=True))
    names = repos.manifest(load.n_questions).names[: load.width]
    answered = np.array([values[name]["values"] for name in names], np.float32).T
    np.testing.assert_array_equal(answered, repos.margins(range(load.size), load.n_questions)[:, : load.width])


def _body(load: Load, rows: np.ndarray) -> dict[str, Any]:
    ids = [text_id(f"segment number {row}") for row in rows]
    return {"feature_service": load.asked, "entities": {"segment": ids}}


def _wait_until_up(server: Server) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        if server.process.poll() is not None:
            raise RuntimeError(f"feast serve ended with {server.process.returncode}; see serve.log")
        try:
            httpx2.get(f"{server.url}/health", timeout=5).raise_for_status()
        except httpx2.HTTPError:
            time.sleep(0.25)
        else:
            return
    raise RuntimeError(f"feast serve was not up after {_START_SECONDS:g} s")
