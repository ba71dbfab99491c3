"""`make bench-store`: the store beside Zarr and SQLite, and what one more question costs; writes results/store.json.

`--quick` takes a hundredth of the segments. Kills are those of the last `make soak` (results/soak.json).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.record import RESULTS, write_result
from benchmarks.store.contestants import CONTESTANTS
from benchmarks.store.one_question import one_question
from benchmarks.store.project import ROOT
from qaemb.files import read_json, write_text

N_SEGMENTS, N_QUESTIONS, STORY = 158_000, 674, 1_700
BLOCK_TEXTS = 2048
_BEGIN, _END = "<!-- store: begin -->", "<!-- store: end -->"


def main() -> None:
    """Measure, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a hundredth of the segments")
    quick = parser.parse_args().quick
    n = N_SEGMENTS // 100 if quick else N_SEGMENTS
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="qaemb-store-", dir=ROOT / "build") as folder:
        for name in CONTESTANTS:
            figures[name] = _contestant(name, Path(folder) / name, n)
        figures["one_question"] = one_question(Path(folder) / "project")
    soak = read_json(RESULTS / "soak.json")["headline"]
    headline = {
        **soak,
        "append_question_cell_share": round(figures["one_question"]["cell_share"], 5),
        "append_question_time_share": round(figures["one_question"]["time_share"], 4),
    }
    settings = {"segments": n, "questions": N_QUESTIONS, "story_segments": STORY, "block_texts": BLOCK_TEXTS}
    print(write_result("store", headline, settings, figures, ROOT / "build" if quick else RESULTS))
    if not quick:
        _write_table(figures, headline)


def _contestant(name: str, folder: Path, n: int) -> dict[str, Any]:
    """Return seconds and peak memory of every operation, and the bytes on disk at the end."""
    all_rows, all_columns, more = [0, n], [0, N_QUESTIONS], [0, N_QUESTIONS + 1]
    operations = {
        "write": (False, all_rows, all_columns),
        "append_question": (False, all_rows, [N_QUESTIONS, N_QUESTIONS + 1]),
        "append_story": (False, [n, n + STORY], more),
        "read_all": (True, [0, n + STORY], more),
        "read_one_question": (True, [0, n + STORY], [100, 101]),
    }
    found: dict[str, Any] = {}
    for operation, (read, rows, columns) in operations.items():
        job = {"contestant": name, "folder": str(folder), "block_texts": BLOCK_TEXTS}
        job |= {"read": read, "rows": rows, "columns": columns}
        command = [sys.executable, "-m", "benchmarks.store.worker", json.dumps(job)]
        done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
        found[operation] = json.loads(done.stdout)
        print(f"{name:8} {operation:18} {done.stdout.strip()}", flush=True)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return found | {"disk_mb": round(size / 1e6)}


def _write_table(figures: dict[str, Any], headline: dict[str, Any]) -> None:
    """Put the figures into docs/store.md."""
    names = list(CONTESTANTS)
    operations = [name for name in figures[names[0]] if name != "disk_mb"]
    lines = [f"| seconds (peak MB) | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for operation in operations:
        own = (figures[name][operation] for name in names)
        cells = " | ".join(f"{one['seconds']:.1f} ({one['peak_mb']:,})" for one in own)
        lines.append(f"| {operation.replace('_', ' ')} | {cells} |")
    lines.append(f"| MB on disk | {' | '.join(format(figures[name]['disk_mb'], ',') for name in names)} |")
    one = figures["one_question"]
    lines += [
        "",
        f"One question more in a bank of 150 ({one['full_cells']:,.0f} cells by SmolLM2, the real command): "
        f"{one['append_cells']:,.0f} cells, {headline['append_question_cell_share']:.2%}, and "
        f"{one['append_seconds']:.1f} s in place of {one['full_seconds']:.1f} s, "
        f"{headline['append_question_time_share']:.1%}. `make soak`: {headline['soak_kills']} kills, "
        f"{headline['soak_losses']} losses.",
    ]
    path = ROOT / "docs" / "store.md"
    text = path.read_text(encoding="utf-8")
    head, tail = text.split(_BEGIN)[0], text.split(_END)[1]
    write_text(path, head + "\n".join([_BEGIN, *lines, _END]) + tail)


if __name__ == "__main__":
    main()
