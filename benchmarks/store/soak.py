"""`make soak`: kills without end of the command that fills the store; writes benchmarks/results/soak.json.

`python -m benchmarks.store.soak --kills 500 --seed 0`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from benchmarks.record import write_result
from benchmarks.store.kills import kill_loop, unfinished
from benchmarks.store.project import Project

N_SEGMENTS, N_QUESTIONS = 4000, 20


def main() -> None:
    """Kill, look, and write what was found; exits with 1 at a loss."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="qaemb-soak-") as folder:
        project = Project(Path(folder) / "project", N_SEGMENTS, N_QUESTIONS).write()
        seen = kill_loop(project, arguments.kills, arguments.seed)
        figures = asdict(seen) | {"unfinished_files": unfinished(project), "seconds": time.monotonic() - begin}
    headline = {"soak_kills": seen.kills, "soak_losses": len(seen.losses)}
    settings = {"segments": N_SEGMENTS, "questions": N_QUESTIONS, "block_texts": Project.block_texts, **vars(arguments)}
    print(write_result("soak", headline, settings, figures))
    print(f"{seen.kills} kills, {seen.writing} of them while writing, {seen.finished} matrices finished in between")
    if seen.losses:
        sys.exit("\n".join(seen.losses))


if __name__ == "__main__":
    main()
