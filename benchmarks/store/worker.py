"""One operation of one contestant in a process of its own: `python -m benchmarks.store.worker JSON`; prints JSON."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.store.contestants import CONTESTANTS, values


def main() -> None:
    """Run it, check what was read, and print seconds and the process's peak memory in MB."""
    job = json.loads(sys.argv[1])
    contestant = CONTESTANTS[job["contestant"]](Path(job["folder"]), job["block_texts"])
    rows, columns = range(*job["rows"]), range(*job["columns"])
    begin = time.perf_counter()
    found = contestant.read(rows, columns) if job["read"] else contestant.write(rows, columns)
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    for row in np.linspace(rows.start, rows.stop - 1, 50).astype(int) if found is not None else ():
        expected = values(range(row, row + 1), columns)
        for own, wanted in zip(found, expected, strict=True):
            np.testing.assert_array_equal(own[row - rows.start], wanted[0])
    print(json.dumps({"seconds": round(seconds, 3), "peak_mb": round(peak)}))


if __name__ == "__main__":
    main()
