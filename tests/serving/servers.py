"""Real servers for tests, in a folder of their own, on a free port of the loopback, ended by their process id."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_DEBIAN = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _program(name: str, package: str) -> str:
    found = shutil.which(name, path=os.pathsep.join([os.environ["PATH"], *map(str, _DEBIAN)]))
    if found is None:
        pytest.skip(f"`{name}` is not installed (Debian's package {package})")
    return found


@contextmanager
def redis_server() -> Iterator[int]:
    """Yield the port of a Redis server that keeps nothing on the disk."""
    pytest.importorskip("redis", reason="the package redis is not installed (extra redis)")
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        options = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder]
        command = [_program("redis-server", "redis-server"), "--port", str(port), *options]
        with _running(command, port):
            yield port


@contextmanager
def postgres_server() -> Iterator[int]:
    """Yield the port of a PostgreSQL server that trusts the user postgres; it refuses to run as root."""
    pytest.importorskip("psycopg", reason="the package psycopg is not installed (extra postgres)")
    who: dict[str, object] = {}
    if os.geteuid() == 0:
        if "postgres" not in {user.pw_name for user in pwd.getpwall()}:
            pytest.skip("PostgreSQL refuses to run as root, and there is no user postgres")
        who = {"user": "postgres", "group": "postgres", "extra_groups": []}
    port = free_port()
    folder = tempfile.mkdtemp()
    try:
        if who:
            shutil.chown(folder, "postgres", "postgres")
        make = [_program("initdb", "postgresql"), "-D", f"{folder}/data", "-U", "postgres", "-A", "trust", "-N"]
        subprocess.run(make, check=True, capture_output=True, cwd=folder, **who)
        options = ["-p", str(port), "-k", folder, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
        command = [_program("postgres", "postgresql"), "-D", f"{folder}/data", *options]
        with _running(command, port, cwd=folder, **who):
            yield port
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _running(command: list[str], port: int, **how) -> Iterator[None]:
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **how) as server:
        try:
            _wait(server, port)
            yield
        finally:
            server.send_signal(signal.SIGINT)  # PostgreSQL ends without waiting for its clients
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()


def _wait(server: subprocess.Popen, port: int, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert server.poll() is None, "the server ended"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail("the server did not come up")
