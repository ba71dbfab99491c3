"""The doctor on a folder of one's own: every kind of fault, made in a right folder and looked for in the report."""

import h5py
import numpy as np
import pandas as pd
import pytest


def found(report, folder, line, **options):
    """Return whether the report is without errors; the line must be in it."""
    fine, lines = report(folder, only_problems=True, **options)
    assert any(line in printed for printed in lines), "\n".join(lines)
    return fine


def edit_csv(path, change):
    change(pd.read_csv(path)).to_csv(path, index=False)


def test_a_right_folder(own_folder, report):
    fine, lines = report(own_folder)
    assert fine
    assert lines[0] == "OK       stories.csv: 6 stories, 1 of them for testing"
    assert "OK       responses/anna/snow.npy: 30 x 8 float64, 3 repeats" in lines
    assert "OK       words/dog.TextGrid: 120 words from 0.0 to 59.8 s (tier `word`)" in lines
    assert lines[-1].endswith("(folder): 21 checks, 0 errors, 0 warnings, 21 OK")


def words(text):
    return lambda folder: (folder / "words/cake.csv").write_text(f"word,onset_s,offset_s\n{text}\n")


def save(path, values):
    return lambda folder: np.save(folder / path, values)


NOISE = np.random.default_rng(0).normal(size=(30, 8))
FOLDER_FAULTS = [
    (lambda f: (f / "stories.csv").unlink(), "ERROR    stories.csv: does not exist"),
    (lambda f: edit_csv(f / "stories.csv", lambda t: t.assign(tr_s="x")), "ERROR    stories.csv: row 2: `tr_s` should"),
    (
        lambda f: edit_csv(f / "stories.csv", lambda t: t[1:]),
        "WARNING  words/cake.csv: the story `cake` is not in stories.csv and can't be used",
    ),
    (
        lambda f: edit_csv(f / "stories.csv", lambda t: t[1:]),
        "WARNING  responses/ben/cake.npy: the story `cake` is not in stories.csv and can't be used",
    ),
    (lambda f: edit_csv(f / "stories.csv", lambda t: t.assign(tr_s=0.5)), "WARNING  words/moon.csv: 75% of the words"),
    (
        lambda f: edit_csv(f / "stories.csv", lambda t: t.assign(tr_s=5)),
        "WARNING  words/moon.csv: the last word is at 60 s",
    ),
    (
        lambda f: edit_csv(f / "stories.csv", lambda t: t.assign(first_tr_s=90)),
        "ERROR    words/moon.csv: no word falls on the 30 response rows, 89 to 149 s",
    ),
    (lambda f: (f / "words/cake.csv").unlink(), "ERROR    words/cake.csv: is missing, and so is cake.TextGrid"),
    (words("a,0,x"), "ERROR    words/cake.csv: row 2: `offset_s` should be a number, not `x`"),
    (
        words("a,5,6\nb,4,4.5\nc,3,3.5"),
        "ERROR    words/cake.csv: row 3: `b` at 4 s is out of order: the word before it is at 5 s (and 1",
    ),
    (words("a,5,4"), "ERROR    words/cake.csv: row 2: `a` at 5 s ends before it starts, at 4 s"),
    (
        words("a,1,3\nb,2,4\nc,3.5,5"),
        "WARNING  words/cake.csv: row 3: `b` at 2 s overlaps the word before it, which ends at 3 s (and 1",
    ),
    (
        words("We bought a green kite,1,2\nand flew it,2,3\nyes,3,4"),
        "ERROR    words/cake.csv: 2 of 3 labels hold several words, as in `we bought a green kite`: sent",
    ),
    (words("a,-1,2"), "WARNING  words/cake.csv: row 2: `a` at -1 s starts before time 0; it stays there"),
    (words("a,1,2\nnew york,2,3\nb,3,4"), "WARNING  words/cake.csv: odd labels, read as words: `new york` 1; list"),
    (words("a,1,2\na,1,2"), "WARNING  words/cake.csv: row 3: `a` at 1 s is there twice"),
    (words("a,1,22"), "WARNING  words/cake.csv: row 2: `a` at 1 s takes 21 s"),
    (words("caf\ufffd,1,2"), "WARNING  words/cake.csv: row 2: `caf\ufffd` at 1 s looks garbled"),
    (lambda f: (f / "words/cake.csv").write_bytes(b"word\xe9"), "ERROR    words/cake.csv: is not UTF-8 text"),
    (lambda f: (f / "words/dog.csv").touch(), "ERROR    words/dog.csv: dog.TextGrid is there as well"),
    (
        save("responses/ben/cake.npy", NOISE[:20]),
        "ERROR    responses/ben/cake.npy: the responses have 20 rows, expected 30",
    ),
    (
        save("responses/ben/cake.npy", NOISE[:, :5]),
        "responses/ben/cake.npy has 5; all of a subject must be of one mask",
    ),
    (save("responses/ben/cake.npy", np.array([[None]])), "ERROR    responses/ben/cake.npy: can't be read as .npy"),
    (save("responses/ben/cake.npy", NOISE.astype(np.int8)), "WARNING  responses/ben/cake.npy: whole numbers (int8)"),
    (
        save("repeats/anna/snow.npy", np.zeros((3, 30, 7))),
        "ERROR    responses/anna/snow.npy: the repeats are 3 x 30 x 7",
    ),
    (
        lambda f: (f / "responses/anna/snow.npy").unlink(),
        "ERROR    responses/anna: repeats/anna has repeats without responses: snow",
    ),
    (lambda f: (f / "responses/ben/snow.npy").unlink(), "WARNING  responses/ben: lacks 1 of 6 stories: snow"),
    (lambda f: (f / "responses/ben/notes.txt").touch(), "WARNING  responses/ben: files that are not read: notes.txt"),
    (lambda f: (f / "responses/carl").mkdir(), "ERROR    responses/carl: holds no responses"),
    (
        lambda f: [(f / f"responses/{subject}/cake.npy").unlink() for subject in ("anna", "ben")],
        "ERROR    words/cake.csv: nobody has responses to this story",
    ),
    (
        lambda f: (f / "voxels.csv").write_text("voxel,hemi,vertex\n8,left,1\n"),
        "ERROR    voxels.csv: places voxel 8 of anna, but responses/anna/cake.npy has 8 (from 0)",
    ),
]


@pytest.mark.parametrize(("damage", "line"), FOLDER_FAULTS)
def test_faults_of_a_folder(own_folder, report, damage, line):
    damage(own_folder)
    fine = found(report, own_folder, line, adapter="folder")
    assert fine == line.startswith("WARNING")


def test_two_files_of_the_responses(own_folder, report):
    with h5py.File(own_folder / "responses/ben/cake.h5", "w") as file:
        file["data"] = NOISE
    assert not found(report, own_folder, "ERROR    responses/ben/cake.npy: ")


def test_a_folder_without_responses(own_folder, report):
    for path in (own_folder / "responses").rglob("*.npy"):
        path.unlink()
    for subject in ("anna", "ben"):
        (own_folder / "responses" / subject).rmdir()
    assert not found(report, own_folder, "ERROR    responses: holds no folder of a subject")
