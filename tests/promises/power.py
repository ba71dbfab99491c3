"""A power cut: what no fsync has reached is lost.

The command runs with `os.fsync` replaced by one that also writes down what it made durable: of a file its bytes, of a
folder its names. At the n-th fsync the process ends at once. `after_power_cut` then makes the folder what a file system
may have kept: every name that a flushed folder had, with the bytes that were flushed last, empty where none were. It
may also have kept names that were not flushed, but not their bytes.
"""

import pickle
import shutil
import sys
from pathlib import Path

LAYER = """
import os, pickle, stat, sys
journal, cut = sys.argv[1], int(sys.argv[2])
os.makedirs(journal, exist_ok=True)
real, state = os.fsync, {"n": 0}
def fsync(handle):
    if state["n"] == cut:
        os._exit(77)
    real(handle)
    about, path = os.fstat(handle), os.readlink(f"/proc/self/fd/{handle}")
    if stat.S_ISDIR(about.st_mode):
        names = {entry.name: entry.inode() for entry in os.scandir(path)}
        record = ("folder", path, names)
    else:
        record = ("file", about.st_ino, open(path, "rb").read())
    with open(os.path.join(journal, f"{state['n']:06d}"), "wb") as file:
        pickle.dump(record, file)
    state["n"] += 1
os.fsync = fsync
sys.argv = sys.argv[:1] + sys.argv[3:]
"""
COMMAND = "from qaemb.cli import main; main()"


def program(journal: Path, cut: int, code: str = COMMAND) -> tuple[str, ...]:
    """Return a program that runs `code` until its fsync number `cut` (from 0), and then ends with 77."""
    return (sys.executable, "-c", LAYER + code, str(journal), str(cut))


def after_power_cut(root: Path, journal: Path, names_survive: bool) -> set[str]:
    """Make the folder what is left after the cut; returns the names of blocks whose folder was flushed with them."""
    files: dict[int, bytes] = {}
    folders: dict[str, dict[str, int]] = {}
    for path in sorted(journal.iterdir()):
        kind, where, content = pickle.loads(path.read_bytes())  # this test wrote it
        if kind == "file":
            files[where] = content
        else:
            folders[where] = content
    names = dict(folders)
    if names_survive and root.exists():
        for folder in (root, *(path for path in root.rglob("*") if path.is_dir())):
            names[str(folder)] = {path.name: path.stat().st_ino for path in folder.iterdir()}
    kept = names.get(str(root), {})
    subfolders = {path.name for path in root.iterdir() if path.is_dir()} if root.exists() else set()
    shutil.rmtree(root, ignore_errors=True)
    published: set[str] = set()
    if not names_survive and root.name not in names.get(str(root.parent), {}):
        return published
    root.mkdir(parents=True)
    _fill(root, kept, files, subfolders)
    for name in kept:
        if name in subfolders:
            own = names.get(str(root / name), {})
            _fill(root / name, own, files, set())
            flushed = folders.get(str(root / name), {})
            published |= {one for one in flushed if one.endswith(".parquet") and not one.startswith(".")}
    return published


def _fill(folder: Path, names: dict[str, int], files: dict[int, bytes], subfolders: set[str]) -> None:
    folder.mkdir(exist_ok=True)
    for name, inode in names.items():
        if name in subfolders:
            (folder / name).mkdir(exist_ok=True)
        else:
            (folder / name).write_bytes(files.get(inode, b""))
