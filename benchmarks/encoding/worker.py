"""One way on one problem in a process of its own, so that its peak memory is its own: PEER FOLDER."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import numpy as np

from benchmarks.encoding.peers import PEERS, Problem
from qaemb.encoding.scores import correlation
from qaemb.files import write_json


def main(peer: str, folder: Path) -> None:
    """Fit, score the test story, write PEER.npz and PEER.json beside the problem."""
    problem = Problem(*(np.load(folder / f"{name}.npy") for name in ("x", "y", "fold")))
    found = PEERS[peer](problem)
    peak = peak_gib()  # before the test story is scored
    x_test, y_test = np.load(folder / "x_test.npy"), np.load(folder / "y_test.npy")
    test_r = correlation(x_test @ found.weights, y_test)
    np.savez(folder / f"{peer}.npz", alpha=found.alpha, r=found.r, test_r=test_r)
    write_json(folder / f"{peer}.json", {"seconds": found.seconds, "peak_gib": peak, "settings": found.settings})


def peak_gib() -> float:
    """Return the largest resident memory of this process so far, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
