"""`make bench-serving`: how fast answers are served, beside plain Feast; writes results/serving.json, docs/serving.md.

`--quick` takes a hundredth of the segments and rows, fewer questions, a fraction of a second per figure, and one
process for all of them, so that its peaks of memory mean nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.record import RESULTS, write_result
from benchmarks.serving.http import Load, ask, served
from benchmarks.serving.operations import Job, measured
from benchmarks.serving.repositories import ALL, N_PART, PART, ROOT
from benchmarks.serving.table import headline, write_table

WORK = ROOT / "build" / "bench"
_Figures = dict[str, Any]


@dataclass(frozen=True)
class Sizes:
    """How much is measured. `few`: N_PART questions published, `many`: of a large bank; `history_rows` are joined."""

    n_segments: int = 20_000
    few: int = N_PART
    many: int = 674
    history_rows: int = 200_000
    seconds: float = 6.0
    calls: int = 300
    clients: tuple[int, ...] = (1, 16)
    batches: tuple[int, ...] = (1, 100)


QUICK = Sizes(n_segments=200, many=40, history_rows=2_000, seconds=0.2, calls=10, clients=(1, 2))


class Bench:
    """Runs the operations on repositories in one folder; `apart`: each in a process of its own."""

    def __init__(self, folder: Path, sizes: Sizes, apart: bool) -> None:
        self.folder, self.sizes, self.apart = folder, sizes, apart
        self.bar = tqdm(desc="serving", unit="figure")

    def run(self, operation: str, repo: str, n_questions: int, **job: Any) -> _Figures:
        """Return what an operation took: percentiles, number of calls, peak memory."""
        plain = {"calls": self.sizes.calls, "seconds": self.sizes.seconds}
        own = Job(operation, str(self.folder / repo), self.sizes.n_segments, n_questions, **(plain | job))
        found = _apart(own) if self.apart else measured(own)
        return self._figure(f"{operation} {repo}", percentiles(found.pop("seconds")) | found)

    def http(self, repo: str, n_questions: int, sets: Sequence[str]) -> _Figures:
        """Return latencies and requests per second of a server under every load, and its peak memory."""
        found: _Figures = {}
        with served(self.folder / repo) as server:
            for asked in sets:
                for size in self.sizes.batches:
                    for clients in self.sizes.clients:
                        load = Load(asked, size, clients, self.sizes.seconds, self.sizes.n_segments, n_questions)
                        own = ask(server, load)
                        own |= percentiles(own.pop("seconds"))
                        found[f"{size}x{load.width} {clients} clients"] = self._figure(f"http {repo}", own)
        return found | {"peak_mb": server.peak_mb}

    def _figure(self, name: str, found: _Figures) -> _Figures:
        self.bar.update()
        self.bar.write(f"{name:32} {found}")
        return found


def _apart(job: Job) -> _Figures:
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.serving.operations", json.dumps(asdict(job))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def percentiles(seconds: Sequence[float]) -> _Figures:
    """Return p50, p95 and p99 in ms, and how many calls they are of."""
    found = {f"p{q}_ms": round(float(np.percentile(seconds, q)) * 1000, 2) for q in (50, 95, 99)}
    return found | {"calls": len(seconds)}


def measure(bench: Bench) -> _Figures:
    """Return all figures by what was measured."""
    sizes = bench.sizes
    few, many = ("few", sizes.few), ("many", sizes.many)
    figures: _Figures = {
        "publish": {repo: bench.run("publish", repo, n) for repo, n in (few, many)},
        "plain_write": {repo: bench.run("plain_write", f"plain_{repo}", n) for repo, n in (few, many)},
        "materialise": {
            "few": bench.run("array_materialise", *few),
            "many": bench.run("array_materialise", *many),
            "plain_few": bench.run("plain_materialise", "plain_few", sizes.few),
        },
    }
    shapes = [(*few, ALL), (*many, PART), (*many, ALL)]
    for way in ("features_for", "service"):
        figures[way] = {
            f"{size} x {_shape(asked, n)}": bench.run(way, repo, n, asked=asked, size=size)
            for repo, n, asked in shapes
            for size in sizes.batches
        }
    figures["plain"] = {
        f"{size} x {sizes.few}": bench.run("service", "plain_few", sizes.few, size=size) for size in sizes.batches
    }
    figures["http"] = {
        "few": bench.http("few", sizes.few, [ALL]),
        "many": bench.http("many", sizes.many, [PART, ALL]),
        "plain_few": bench.http("plain_few", sizes.few, [ALL]),
    }
    for way in ("push", "new_text"):
        figures[way] = {repo: bench.run(way, repo, n, calls=min(sizes.calls, 50)) for repo, n in (few, many)}
    return figures | {"historical": _historical(bench)}


def _historical(bench: Bench) -> _Figures:
    sizes = bench.sizes
    return {
        "qaemb_few": bench.run("historical", "few", sizes.few, size=sizes.history_rows),
        "service_few": bench.run("historical_service", "few", sizes.few, size=sizes.history_rows),
        "plain_few": bench.run("historical_service", "plain_few", sizes.few, size=sizes.history_rows),
        "qaemb_many": bench.run("historical", "many", sizes.many, size=sizes.history_rows),
        "plain_many": bench.run("historical_service", "plain_many", sizes.many, size=sizes.history_rows),
    }


def _shape(asked: str, n_questions: int) -> str:
    return f"{N_PART} of {n_questions}" if asked == PART else str(n_questions)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write the result; unless it is a smoke run, the tables of docs/serving.md, too."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke run; the result goes to build/bench/")
    quick = parser.parse_args(arguments).quick
    sizes = QUICK if quick else Sizes()
    WORK.mkdir(parents=True, exist_ok=True)
    load = {"load_before": round(os.getloadavg()[0], 2)}
    with tempfile.TemporaryDirectory(prefix="serving-", dir=WORK) as folder:
        figures = measure(Bench(Path(folder), sizes, apart=not quick))
    load |= {"load_after": round(os.getloadavg()[0], 2)}
    settings = {**asdict(sizes), **load, "load_tool": "asyncio clients on httpx2, in one process beside the server"}
    path = write_result("serving", headline(figures), settings, figures, WORK if quick else RESULTS)
    if not quick:
        write_table(figures, settings)
    print(f"wrote {path}: {headline(figures)}")


if __name__ == "__main__":
    main()
