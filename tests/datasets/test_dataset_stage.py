import json
import re

import h5py
import numpy as np
import pandas as pd
import pytest

from qaemb.datasets import arrays
from qaemb.errors import BadInput
from qaemb.stages.inputs import dataset
from qaemb.workspace import Workspace


def listing(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_tables(generated, tmp_path, settings_for, capsys):
    workspace = Workspace(tmp_path)
    dataset(settings_for(generated), workspace)
    assert capsys.readouterr().out.startswith("dataset small: 3 train and 2 test stories, 900 words, ")
    tables = {path.stem: pd.read_parquet(path) for path in workspace.dataset.glob("*.parquet")}
    assert {name: dict(table.dtypes.astype(str)) for name, table in tables.items() if name != "gold"} == {
        "words": {"story": "object", "index": "int32", "word": "object", "onset_s": "float64", "offset_s": "float64"},
        "stories": {
            "story": "object",
            "split": "object",
            "n_trs": "int32",
            "tr_s": "float64",
            "first_tr_s": "float64",
        },
        "sentences": {
            "story": "object",
            "index": "int32",
            "first_word": "int32",
            "last_word": "int32",
            "text": "object",
        },
        "gold_properties": {"property": "object", "question": "object"},
        "voxels": {"subject": "object", "voxel": "int32", "hemi": "object", "vertex": "int32", "region": "object"},
    }
    gold = tables["gold"]
    assert gold.columns.tolist() == ["story", "index", *tables["gold_properties"]["property"]]
    assert set(gold.dtypes.iloc[2:].astype(str)) == {"bool"}
    assert len(gold) == len(tables["sentences"]) == 5 * 18
    assert tables["stories"]["split"].tolist() == ["train"] * 3 + ["test"] * 2
    assert len(tables["voxels"]) == 3 * 120


def test_responses_are_the_source_in_float32(generated, tmp_path, settings_for, monkeypatch):
    monkeypatch.setattr(arrays, "_BLOCK_BYTES", 1)  # the narrowest blocks, of one chunk, so that blocks meet
    monkeypatch.setattr(arrays, "CHUNK_VOXELS", 32)
    workspace = Workspace(tmp_path)
    dataset(settings_for(generated), workspace)
    for subject in ("UTS01", "UTS02", "UTS03"):
        with h5py.File(workspace.dataset / "responses" / f"{subject}.h5") as file:
            heard = sorted(path.stem for path in (generated / "derivative/preprocessed_data" / subject).glob("*"))
            assert sorted(file["data"]) == heard
            assert sorted(file["repeats"]) == ["mountainfog", "weddingcake"]
            for story in heard:
                with h5py.File(generated / f"derivative/preprocessed_data/{subject}/{story}.hf5") as original:
                    assert file[f"data/{story}"].dtype == np.float32
                    np.testing.assert_array_equal(file[f"data/{story}"][:], original["data"][:].astype(np.float32))
                    if story in file["repeats"]:
                        repeats = original["individual_repeats"][:].astype(np.float32)
                        np.testing.assert_array_equal(file[f"repeats/{story}"][:], repeats)


def test_summary_counts_missing_stories_and_nan_voxels(generated, tmp_path, settings_for, capsys):
    workspace = Workspace(tmp_path)
    dataset(settings_for(generated), workspace)
    summary = json.loads((workspace.dataset / "summary.json").read_text())
    subjects = summary["subjects"]
    assert [subjects[name]["missing"] for name in subjects] == [[], ["gamma"], []]
    assert [subjects[name]["nan_voxels"] for name in subjects] == [0, 0, 5]
    assert [subjects[name]["voxels"] for name in subjects] == [120] * 3
    assert subjects["UTS01"]["repeats"] == {"weddingcake": 3, "mountainfog": 3}
    assert summary["words"] == 900
    assert "UTS02 lacks gamma" in capsys.readouterr().out


def break_rows(source):
    with h5py.File(source / "derivative/preprocessed_data/UTS03/beta.hf5", "w") as file:
        file["data"] = np.zeros((3, 120))


def break_voxels(source):
    path = source / "derivative/preprocessed_data/UTS03/beta.hf5"
    with h5py.File(path) as file:
        rows = file["data"].shape[0]
    with h5py.File(path, "w") as file:
        file["data"] = np.zeros((rows, 119))


def break_textgrid(source):
    path = source / "derivative/TextGrids/beta.TextGrid"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def break_words(source):
    path = source / "derivative/TextGrids/beta.TextGrid"
    text = path.read_text()
    head, words = text[: text.index('"word"')], text[text.index('"word"') :]
    path.write_text(
        head + "".join('            text = "sp" \n' if "text =" in x else x for x in words.splitlines(True))
    )


def break_sentences(source):
    path = source / "derivative/gold/sentences.csv"
    path.write_text("\n".join(line for line in path.read_text().splitlines() if not line.startswith("beta,17,")))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            break_rows,
            r"beta\.hf5: the responses have 3 rows, expected \d+ \(the story's number in respdict",
        ),
        (break_voxels, "UTS03: beta has 119 voxels, alpha has 120"),
        (break_textgrid, r"beta\.TextGrid declares 2 tiers of"),
        (break_words, r"beta\.TextGrid: tier `word` holds no words"),
        (break_sentences, "beta: sentence 16 spans words 160 to 169"),
        (lambda source: (source / "derivative/TextGrids/beta.TextGrid").unlink(), r"beta\.TextGrid does not exist"),
    ],
)
def test_a_wrong_source_leaves_the_old_state(own_copy, tmp_path, settings_for, damage, message):
    workspace = Workspace(tmp_path / "root")
    dataset(settings_for(own_copy), workspace)
    before, modified = listing(workspace.work), (workspace.dataset / "summary.json").stat().st_mtime_ns
    damage(own_copy)
    with pytest.raises(BadInput, match=message):
        dataset(settings_for(own_copy), workspace)
    assert listing(workspace.work) == before
    assert (workspace.dataset / "summary.json").stat().st_mtime_ns == modified


def test_a_folder_that_is_not_there(tmp_path, settings_for):
    with pytest.raises(BadInput, match="holds no folder `derivative`"):
        dataset(settings_for(tmp_path / "none"), Workspace(tmp_path))
    assert listing(tmp_path) == []


def test_a_source_that_fails_while_it_is_read_names_its_file():
    class Broken:
        def __getitem__(self, place):
            raise OSError("Can't read data (wrong checksum)")

    with pytest.raises(BadInput, match=r"a\.hf5 can't be read to the end \(Can't read data"):
        arrays.read_block(Broken(), (slice(None), slice(0, 3)), "a.hf5")


def test_what_was_left_out_and_warnings_are_printed(own_copy, tmp_path, settings_for, capsys):
    path = own_copy / "derivative/TextGrids/alpha.TextGrid"
    head, tier = path.read_text().split('name = "word"')
    path.write_text(head + 'name = "mine"' + tier.replace('"sp"', '"<unk>"'))
    dataset(settings_for(own_copy), Workspace(tmp_path / "root"))
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"\d+ labels are marks, no words: `sp` \d+, `<unk>` \d+", lines[1])
    assert lines[2].startswith("WARNING  alpha: tier `mine` is taken for the words because of its labels")
    assert len(lines) == 3


def test_settings_of_transcripts_reach_the_reader(own_copy, tmp_path, settings_for, capsys):
    path = own_copy / "derivative/TextGrids/alpha.TextGrid"
    text = re.sub(r'text = "[A-Z]"', 'text = "HELLO"', path.read_text())
    path.write_text(text.replace('name = "phone"', 'name = "Bob - words"'))
    with pytest.raises(BadInput, match=r"alpha\.TextGrid: 2 tiers may hold the words"):
        dataset(settings_for(own_copy), Workspace(tmp_path / "root"))
    (own_copy / "derivative/gold/sentences.csv").unlink()
    dataset(settings_for(own_copy, words_tier="word", marks=["boat"]), Workspace(tmp_path / "root"))
    assert "`boat` " in capsys.readouterr().out
    words = pd.read_parquet(tmp_path / "root/data/work/dataset/words.parquet")
    assert "boat" not in set(words["word"])
    assert len(words) > 700
