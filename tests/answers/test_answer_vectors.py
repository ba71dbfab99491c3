"""Kept vectors: each text goes through the model once, and what is damaged is made again."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from qaemb.errors import QaembError, StoreError
from qaemb.files import read_json
from qaemb.identity import text_id
from qaemb.models.encoder import Encoder
from qaemb.models.hidden import HiddenStates
from qaemb.models.vectors import _VectorFolder, vectors_of

WORDS = ["dog", "i ate an apple", "cat", "the old house", "no."]


def files(root: Path) -> list[Path]:
    return sorted(root.rglob("*.parquet"))


@pytest.fixture
def without_weights(tiny_encoder, tmp_path):
    """A copy of the model's folder that can't embed anything."""
    folder = tmp_path / "without_weights"
    shutil.copytree(tiny_encoder, folder)
    (folder / "model.safetensors").unlink()
    return folder


def test_kept_vectors_are_those_of_the_model_and_need_it_no_more(tiny_encoder, without_weights, tmp_path):
    first = vectors_of(Encoder(tiny_encoder), [*WORDS, "dog"], tmp_path / "v")
    np.testing.assert_allclose(first, Encoder(tiny_encoder).embed([*WORDS, "dog"]), atol=1e-6)
    again = vectors_of(Encoder(without_weights), WORDS[::-1], tmp_path / "v")
    np.testing.assert_array_equal(again, first[:5][::-1])
    with pytest.raises(OSError, match="model.safetensors"):
        vectors_of(Encoder(without_weights), ["another text"], tmp_path / "v")


def test_only_new_texts_are_embedded(tiny_encoder, tmp_path):
    vectors_of(Encoder(tiny_encoder), WORDS[:3], tmp_path / "v")
    before = {path: path.read_bytes() for path in files(tmp_path)}
    vectors_of(Encoder(tiny_encoder), WORDS, tmp_path / "v")
    new = [path for path in files(tmp_path) if path not in before]
    assert all(path.read_bytes() == content for path, content in before.items())
    folder = _VectorFolder(tmp_path / "v", Encoder(tiny_encoder).specs[0])
    assert len(folder.ids()) == 5
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / folder.folder.name).mkdir()
    shutil.copy(new[0], tmp_path / "one" / folder.folder.name)
    assert _VectorFolder(tmp_path / "one", folder.spec).ids() == {text_id(text) for text in WORDS[3:]}


def test_layers_of_one_pass_are_kept_and_not_made_again(tiny_encoder, without_weights, tmp_path):
    both = HiddenStates(tiny_encoder, (1, "last"), [(2, "mean")])
    first = vectors_of(both, WORDS, tmp_path / "v")
    np.testing.assert_allclose(first, both.vectors(WORDS)[0], atol=1e-6)
    other = vectors_of(HiddenStates(without_weights, (2, "mean"), [(1, "last")]), WORDS, tmp_path / "v")
    np.testing.assert_allclose(other, both.vectors(WORDS)[1], atol=1e-6)
    assert len(files(tmp_path)) == 2
    before = files(tmp_path)
    vectors_of(HiddenStates(tiny_encoder, (0, "mean"), [(1, "last")]), [*WORDS, "new"], tmp_path / "v")
    rows = [len(pd.read_parquet(path)) for path in files(tmp_path) if path not in before]
    assert sorted(rows) == [1, len(WORDS) + 1], "layer 1 of all texts but the new one was there already"


def test_kinds_of_vectors_do_not_mix(tiny_encoder, tiny_llm, tmp_path):
    sources = [
        Encoder(tiny_encoder),
        HiddenStates(tiny_encoder, (2, "mean")),
        HiddenStates(tiny_encoder, (2, "last")),
        HiddenStates(tiny_encoder, (1, "mean")),
        HiddenStates(tiny_encoder, (2, "mean"), dtype="bfloat16"),
        HiddenStates(tiny_llm, (2, "mean")),
    ]
    for source in sources:
        vectors_of(source, WORDS, tmp_path / "v")
    folders = list((tmp_path / "v").iterdir())
    assert len(folders) == len(sources)
    said = [json.dumps(read_json(folder / "spec.json"), sort_keys=True) for folder in folders]
    assert sorted(said) == sorted(json.dumps(source.specs[0], sort_keys=True) for source in sources)


@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_a_damaged_file_is_named_removed_and_made_again(tiny_encoder, tmp_path, capsys, damage):
    vectors_of(Encoder(tiny_encoder), WORDS[:3], tmp_path / "v")
    first = vectors_of(Encoder(tiny_encoder), WORDS, tmp_path / "v")
    path = files(tmp_path)[0]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes({"flip": bytes(content), "cut": bytes(content[:-9]), "empty": b""}[damage])
    again = vectors_of(Encoder(tiny_encoder), WORDS, tmp_path / "v")
    assert f"{path} is damaged" in capsys.readouterr().out
    np.testing.assert_allclose(again, first, atol=1e-6)
    vectors_of(Encoder(tiny_encoder), WORDS, tmp_path / "v")
    assert capsys.readouterr().out == ""


def test_a_half_written_file_is_not_read(tiny_encoder, tmp_path):
    folder = _VectorFolder(tmp_path, Encoder(tiny_encoder).specs[0])
    folder.put(["0" * 20], np.ones((1, 4), np.float32))
    (folder.folder / ".abc.parquet.x.tmp").write_bytes(b"half")
    assert folder.ids() == {"0" * 20}


def test_of_two_vectors_of_a_text_the_first_file_counts(tmp_path):
    folder = _VectorFolder(tmp_path, {"model": "x"})
    folder.put(["a" * 20], np.array([[1.0, 2.0]], np.float32))
    folder.put(["a" * 20], np.array([[3.0, 4.0]], np.float32))
    first = files(tmp_path)[0]
    kept = folder.read({"a" * 20})["a" * 20]
    files(tmp_path)[1].unlink()
    assert files(tmp_path) == [first]
    np.testing.assert_array_equal(folder.read({"a" * 20})["a" * 20], kept)


def test_a_strange_file_is_refused(tmp_path):
    folder = _VectorFolder(tmp_path, {"model": "x"})
    folder.put(["a" * 20], np.ones((1, 2), np.float32))
    (folder.folder / "mine.parquet").write_bytes(b"")
    with pytest.raises(StoreError, match=r"mine\.parquet does not have the name"):
        folder.read({"a" * 20})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_named(tmp_path):
    (tmp_path / "v").mkdir(mode=0o500)
    with pytest.raises(StoreError, match="no permission to write"):
        _VectorFolder(tmp_path / "v", {"model": "x"}).put(["a" * 20], np.ones((1, 2), np.float32))


def test_without_a_place_nothing_is_kept(tiny_encoder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    got = vectors_of(Encoder(tiny_encoder), WORDS, None)
    np.testing.assert_allclose(got, Encoder(tiny_encoder).embed(WORDS), atol=1e-6)
    assert not list(tmp_path.iterdir())


def test_vectors_that_are_not_finite_are_not_kept(tiny_encoder, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "spoilt"
    shutil.copytree(tiny_encoder, folder)
    weights = load_file(folder / "model.safetensors")
    weights["encoder.layer.0.output.dense.bias"][0] = float("nan")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(QaembError, match="not finite for `dog`"):
        vectors_of(HiddenStates(folder, (1, "last")), WORDS, tmp_path / "v")
    assert not files(tmp_path / "v")


def test_more_texts_than_one_file_takes(tiny_encoder, tmp_path):
    texts = [f"{word} {chr(97 + number % 26)}{chr(97 + number // 26)}" for number in range(210) for word in WORDS]
    got = vectors_of(HiddenStates(tiny_encoder, (0, "last")), texts, tmp_path / "v")
    assert len(files(tmp_path)) == 2
    np.testing.assert_allclose(got, HiddenStates(tiny_encoder, (0, "last")).vectors(texts)[0], atol=1e-6)
