"""Every kind of fault in a folder in ds003020's layout, made in a generated one and looked for in the report."""

import json
import shutil

import h5py
import nibabel as nib
import numpy as np
import pytest

GRIDS, RESPONSES = "derivative/TextGrids", "derivative/preprocessed_data"


def edit_data(path, change):
    with h5py.File(path) as file:
        arrays = {name: values[:] for name, values in file.items()}
    arrays = change(arrays)
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file[name] = values


def edit_scans(folder, **changes):
    path = folder / "derivative/respdict.json"
    scans = {story: n for story, n in (json.loads(path.read_text()) | changes).items() if n is not None}
    path.write_text(json.dumps(scans))


def test_a_right_folder_has_no_errors(own_copy, report):
    fine, lines = report(own_copy)
    assert fine
    assert [line for line in lines if line.startswith("WARNING")] == [
        f"WARNING  {RESPONSES}/UTS02: lacks 1 of 5 stories: gamma",
        *(
            f"WARNING  {RESPONSES}/UTS03/{story}.hf5: 5 of 120 voxels (4.2%) are NaN in all rows; they get no score"
            for story in ("alpha", "gamma", "weddingcake")
        ),
    ]
    assert "OK       derivative/respdict.json: 5 stories, 210 scans" in lines
    assert lines[-1].endswith("(ds003020): 28 checks, 0 errors, 4 warnings, 24 OK")


def set_values(**changes):
    """Return a change of the data of a file: values at the places of the keyword's pairs."""

    def change(arrays):
        data = arrays["data"]
        for value in changes.values():
            data[value[0]] = value[1]
        return arrays

    return change


def data(change):
    return lambda folder: edit_data(folder / RESPONSES / "UTS01/alpha.hf5", change)


def repeats(change):
    return lambda folder: edit_data(folder / RESPONSES / "UTS01/weddingcake.hf5", change)


def remove(path):
    return lambda folder: (folder / path).unlink()


def link(path):
    def change(folder):
        (folder / path).unlink()
        (folder / path).symlink_to("nowhere")

    return change


def cut(path):
    return lambda folder: (folder / path).write_bytes(
        (folder / path).read_bytes()[: (folder / path).stat().st_size // 2]
    )


def copy(old, new):
    return lambda folder: shutil.copy(folder / old, folder / new)


ALPHA = f"{RESPONSES}/UTS01/alpha.hf5"
FAULTS = [
    # respdict.json
    (remove("derivative/respdict.json"), "ERROR    derivative/respdict.json: is missing; without it no story"),
    (cut("derivative/respdict.json"), "ERROR    derivative/respdict.json: can't be read ("),
    (
        lambda f: edit_scans(f, alpha="9"),
        "ERROR    derivative/respdict.json: alpha: the number of scans should be a whole",
    ),
    (
        lambda f: edit_scans(f, alpha=21),
        "ERROR    derivative/respdict.json: alpha has 21 scans, at least 22 are needed",
    ),
    (
        lambda f: (f / "derivative/respdict.json").write_text('{"alpha": 99, "alpha": 98}'),
        "ERROR    derivative/respdict.json: alpha is there 2 times",
    ),
    # stories in one place and not in another
    (
        lambda f: edit_scans(f, alpha=None),
        f"WARNING  {GRIDS}/alpha.TextGrid: the story `alpha` is not in respdict.json",
    ),
    (lambda f: edit_scans(f, omega=90), f"ERROR    {GRIDS}/omega.TextGrid: is missing; a story needs its words"),
    (remove(f"{GRIDS}/alpha.TextGrid"), f"ERROR    {GRIDS}/alpha.TextGrid: is missing; a story needs its words"),
    (link(f"{GRIDS}/alpha.TextGrid"), f"ERROR    {GRIDS}/alpha.TextGrid: is a link to a file that was never fetched"),
    (link(ALPHA), f"WARNING  {ALPHA}: is a link to a file that was never fetched; the story counts as missing"),
    (remove(ALPHA), f"WARNING  {RESPONSES}/UTS01: lacks 1 of 5 stories: alpha"),
    (
        lambda f: (f / ALPHA).rename((f / ALPHA).with_suffix(".h5")),
        f"WARNING  {RESPONSES}/UTS01: files that are not read, since they don't end in .hf5: alpha.h5",
    ),
    (lambda f: (f / RESPONSES / "UTS09").mkdir(), f"ERROR    {RESPONSES}/UTS09: holds no responses"),
    (lambda f: shutil.rmtree(f / RESPONSES), f"ERROR    {RESPONSES}: holds no folder of a subject"),
    # responses
    (data(lambda a: {"other": a["data"]}), f"ERROR    {ALPHA}: has no data set `data`, only: other"),
    (cut(ALPHA), f"ERROR    {ALPHA}: can't be opened as HDF5"),
    (data(lambda a: {"data": a["data"][:-3]}), f"ERROR    {ALPHA}: the responses have "),
    (data(lambda a: {"data": a["data"][0]}), f"ERROR    {ALPHA}: the responses are 120, expected (n_trs, voxels)"),
    (
        data(lambda a: {"data": a["data"][:, :7]}),
        f"has 120 voxels, {ALPHA} has 7; all of a subject must be of one mask",
    ),
    (
        data(set_values(a=((slice(None), 3), np.nan), b=((4, 5), np.nan))),
        f"WARNING  {ALPHA}: 1 of 120 voxels (0.8%) are NaN in some rows; they get no score",
    ),
    (
        data(set_values(a=((slice(None), 3), np.nan), b=((4, 5), np.nan))),
        f"WARNING  {ALPHA}: 1 of 120 voxels (0.8%) are NaN in all rows; they get no score",
    ),
    (data(set_values(a=((slice(None),), np.nan))), f"ERROR    {ALPHA}: all values are NaN"),
    (data(set_values(a=((slice(None),), 3))), f"ERROR    {ALPHA}: no voxel varies"),
    (data(set_values(a=((2, slice(0, 2)), np.inf))), f"ERROR    {ALPHA}: 2 values are infinite"),
    (data(set_values(a=((slice(None), slice(4, 6)), 1))), f"WARNING  {ALPHA}: 2 of 120 voxels are constant"),
    (data(lambda a: {"data": np.rint(a["data"]).astype(np.int16)}), f"WARNING  {ALPHA}: whole numbers (int16)"),
    (
        data(lambda a: {"data": 1000 + 50 * a["data"]}),
        f"WARNING  {ALPHA}: mean 1e+03, sd 50 of all values: not z-scored",
    ),
    (
        lambda f: copy(ALPHA, f"{RESPONSES}/UTS02/alpha.hf5")(f),
        f"WARNING  {RESPONSES}/UTS02/alpha.hf5: holds the same numbers as {ALPHA}",
    ),
    # repeats
    (
        repeats(lambda a: a | {"individual_repeats": a["individual_repeats"][:, :-1]}),
        f"ERROR    {RESPONSES}/UTS01/weddingcake.hf5: the repeats are 3 x ",
    ),
    (
        repeats(lambda a: a | {"individual_repeats": a["individual_repeats"][:1]}),
        f"WARNING  {RESPONSES}/UTS01/weddingcake.hf5: a single repeat gives no noise ceiling",
    ),
    (
        repeats(lambda a: a | {"individual_repeats": a["individual_repeats"][[0, 1, 0]]}),
        f"WARNING  {RESPONSES}/UTS01/weddingcake.hf5: repeats 1 and 3 are the same numbers",
    ),
    (
        repeats(lambda a: a | {"individual_repeats": a["individual_repeats"][:, ::-1]}),
        f"WARNING  {RESPONSES}/UTS01/weddingcake.hf5: the responses are not the mean of their repeats (r = ",
    ),
    # annotations and places
    (
        lambda f: (f / "derivative/gold/sentences.csv").write_text("story,index\n"),
        "ERROR    derivative/gold: sentences.csv lacks the columns: first_word",
    ),
    (
        lambda f: (f / "derivative/voxels/UTS01.csv").write_text("voxel,hemi,vertex\n120,left,3\n"),
        "ERROR    derivative/voxels/UTS01.csv: places voxel 120, but the responses have 120",
    ),
    (
        lambda f: (f / "derivative/voxels/UTS01.csv").write_text("voxel,hemi,vertex\n1,left,99999\n"),
        "ERROR    derivative/voxels/UTS01.csv: row 2: `vertex` is 0 to 10241",
    ),
]


@pytest.mark.parametrize(("damage", "line"), FAULTS)
def test_a_fault_is_named_with_its_file(own_copy, report, damage, line):
    damage(own_copy)
    fine, lines = report(own_copy, only_problems=True)
    assert any(line in printed for printed in lines), "\n".join(lines)
    assert fine == (not any(printed.startswith("ERROR") for printed in lines))
    if line.startswith("ERROR"):
        assert not fine


def test_sentences_of_another_transcript(own_copy, report):
    path = own_copy / "derivative/gold/sentences.csv"
    path.write_text("\n".join(line for line in path.read_text().splitlines() if not line.startswith("beta,17,")))
    fine, lines = report(own_copy, only_problems=True)
    assert not fine
    assert any(line.startswith("ERROR    derivative/gold: beta: sentence 16 spans") for line in lines)


def test_a_mask_of_another_size(own_copy, report):
    path = own_copy / "derivative/pycortex-db/UTS01/transforms/UTS01_auto/mask_thick.nii.gz"
    path.parent.mkdir(parents=True)
    mask = np.zeros((5, 5, 5), np.uint8)
    mask[:, :, :4] = 1
    nib.save(nib.Nifti1Image(mask, np.eye(4)), path)
    place = "derivative/pycortex-db/UTS01/transforms/UTS01_auto/mask_thick.nii.gz"
    _, lines = report(own_copy)
    assert (
        f"WARNING  {place}: the mask holds 100 voxels, but {ALPHA} 120: responses of another mask or subject?" in lines
    )
    mask.flat[:] = 0
    mask.flat[:120] = 1
    nib.save(nib.Nifti1Image(mask, np.eye(4)), path)
    assert f"OK       {place}: 120 voxels, as the responses" in report(own_copy)[1]


def test_it_goes_on_after_the_first_error(own_copy, report):
    for damage in (remove("derivative/respdict.json"), cut(f"{GRIDS}/alpha.TextGrid"), cut(f"{GRIDS}/beta.TextGrid")):
        damage(own_copy)
    cut(ALPHA)(own_copy)
    data_of_gamma = own_copy / RESPONSES / "UTS03/gamma.hf5"
    edit_data(data_of_gamma, lambda arrays: {"data": arrays["data"] * np.inf})
    _, lines = report(own_copy, only_problems=True)
    places = [line.split()[1].rstrip(":") for line in lines if line.startswith("ERROR")]
    assert places[:4] == [
        "derivative/respdict.json",
        f"{GRIDS}/alpha.TextGrid",
        f"{GRIDS}/beta.TextGrid",
        ALPHA,
    ]
    assert f"{RESPONSES}/UTS03/gamma.hf5" in places
