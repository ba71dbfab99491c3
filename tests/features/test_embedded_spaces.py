"""Kinds `embedding` and `hidden` through the stage: placed like every space, embedded once, kept by content."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from qaemb.errors import BadParameter
from qaemb.features.space import read_space
from qaemb.files import read_json, write_table
from qaemb.models.encoder import Encoder
from qaemb.models.folder import make_model
from qaemb.models.hidden import HiddenStates
from qaemb.settings import ModelSettings, Settings
from qaemb.stages.features import features
from qaemb.workspace import Workspace

from ..answers.conftest import save_tiny_encoder

PARAMS = Path(__file__).parents[2] / "params.yaml"
ON_WORDS = {"model": "tiny", "segmentation": "words", "input": "x"}


class Project:
    """A workspace with the made data set, the tiny encoder as model `tiny`, and spaces on it."""

    def __init__(self, source) -> None:
        self.source, self.workspace = source, Workspace(source.root)
        save_tiny_encoder(source.root / "weights")
        weights = ModelSettings(source="folder", path=source.root / "weights", kind="encoder")
        make_model("tiny", weights, self.model)
        for kind in ("words", "tr"):
            source.cut(kind, **({"before": 2} if kind == "words" else {}))
        (source.root / "segments").rename(self.workspace.work / "segments")
        source.dataset.rename(self.workspace.dataset)
        values = yaml.safe_load(PARAMS.read_text())
        values["validate"].pop("drift")
        values["distill"] = {}
        values["model"]["tiny"] = {"source": "folder", "path": "weights", "kind": "encoder"}
        values["segments"] = {"words": {"kind": "words", "before": 2}, "tr": {"kind": "tr"}}
        answerer = next(iter(values["answers"]["spec"]))
        values["answers"]["jobs"] = {"j": {"answerer": answerer, "segmentation": "words", "set": "core"}}
        values["publish"]["job"], values["select"]["spaces"] = "j", []
        values["features"]["spaces"] = {
            "embedding": {"kind": "embedding", **ON_WORDS},
            "embedding_tr": {"kind": "embedding", **ON_WORDS, "segmentation": "tr"},
            "first": {"kind": "hidden", "layer": 1, "pooling": "last", **ON_WORDS},
            "second": {"kind": "hidden", "layer": -1, "pooling": "mean", **ON_WORDS},
            "second_tr": {"kind": "hidden", "layer": 2, "pooling": "mean", **ON_WORDS, "segmentation": "tr"},
            "rough": {"kind": "hidden", "layer": 1, "pooling": "last", "dtype": "bfloat16", **ON_WORDS},
            "beyond": {"kind": "hidden", "layer": 3, "pooling": "last", **ON_WORDS},
        }
        values["encode"]["spaces"] = {"embedding": ["embedding"]}
        self.settings = Settings.model_validate(values)

    @property
    def model(self) -> Path:
        return self.workspace.model("tiny")

    @property
    def vectors(self) -> Path:
        return self.workspace.root / self.settings.answers.store / "vectors"

    def files(self) -> list[Path]:
        return sorted(self.vectors.rglob("*.parquet"))

    def make(self, space: str) -> dict[str, np.ndarray]:
        features(self.settings, self.workspace, space)
        return read_space(self.workspace.features(space) / "features.parquet").values

    def word_texts(self, story: str) -> list[str]:
        words = self.source.words[story]
        return [" ".join(words[max(0, i - 2) : i + 1]) for i in range(len(words))]


@pytest.fixture
def project(source) -> Project:
    return Project(source)


def test_hidden_states_are_placed_at_the_words_middles(project):
    for space, readout in (("first", (1, "last")), ("second", (2, "mean"))):
        values = project.make(space)
        for story in project.source.words:
            states = HiddenStates(project.model, readout).vectors(project.word_texts(story))[0]
            np.testing.assert_allclose(values[story], project.source.lanczos(story) @ states, atol=1e-4)


def test_rows_without_words_hold_the_storys_mean(project):
    values = project.make("second_tr")["one"]
    silent = np.zeros(len(values), bool)
    silent[4:6] = True
    expected = np.tile(values[~silent].mean(axis=0), (2, 1))
    np.testing.assert_allclose(values[silent], expected, atol=1e-5)
    assert np.abs(np.diff(values[~silent], axis=0)).max() > 0.01


def test_one_pass_serves_all_layers_of_the_same_model_and_segments(project):
    first = project.make("first")
    assert len(project.files()) == 2, "layers 1 and 2; not those of another segmentation, dtype or number"
    weights = (project.model / "model.safetensors").read_bytes()
    (project.model / "model.safetensors").unlink()
    second = project.make("second")
    again = project.make("first")
    for story in first:
        np.testing.assert_array_equal(first[story], again[story])
        states = second[story]
        assert states.shape == first[story].shape
    with pytest.raises(OSError, match=r"model\.safetensors"):
        project.make("rough")
    (project.model / "model.safetensors").write_bytes(weights)
    project.make("rough")
    assert len(project.files()) == 3


def test_segmentations_share_texts_and_a_new_story_embeds_its_own_alone(project, capsys):
    project.make("embedding")
    before = set(project.files())
    capsys.readouterr()
    project.make("embedding_tr")
    texts = {
        kind: set(pd.read_parquet(project.workspace.segments(kind) / "segments.parquet")["text"])
        for kind in ("words", "tr")
    }
    (new,) = set(project.files()) - before
    assert len(pd.read_parquet(new)) == len(texts["tr"] - texts["words"]) < len(texts["tr"])
    # The text of rows without words is one more, and was embedded before.
    assert f"{len(texts['tr']) + 1}/{len(texts['tr']) + 1}" in capsys.readouterr().err


def test_a_kept_space_is_the_space(project):
    fresh = project.make("embedding")
    kept = project.make("embedding")
    for story, values in fresh.items():
        np.testing.assert_array_equal(values, kept[story])
        vectors = Encoder(project.model).embed(project.word_texts(story))
        np.testing.assert_allclose(values, project.source.lanczos(story) @ vectors, atol=1e-5)


def test_a_layer_that_the_model_lacks_stops_its_own_space_alone(project):
    with pytest.raises(BadParameter, match=r"features\.spaces\.beyond: model `tiny` has no layer 3"):
        project.make("beyond")


def test_figures_stand_in_the_spaces_json(project):
    vectors = project.source.root / "v.txt"
    vectors.write_text("the 1 2\nboat 3 4\n")
    spaces = project.settings.features.spaces
    spaces["static"] = spaces["embedding"].model_copy(update={"kind": "static", "path": vectors})
    project.make("static")
    about = read_json(project.workspace.features("static") / "space.json")
    assert about["figures"] == {"words_found": 6 / 17, "different_words_found": 2 / 11}
    assert "figures" not in project.make("embedding") | read_json(
        project.workspace.features("embedding") / "space.json"
    )


def test_heads_take_their_embedding_from_the_kept_vectors(project):
    stories = pd.read_parquet(project.workspace.dataset / "stories.parquet")
    published = pd.concat(
        pd.DataFrame({"story": name, "tr": np.arange(n), "is it?": (np.arange(n) % 2).astype(np.float32)})
        for name, n in zip(stories["story"], stories["n_trs"], strict=True)
    )
    write_table(project.workspace.dataset / "published" / "labels.parquet", published)
    project.make("embedding_tr")
    files = project.files()
    spaces = project.settings.features.spaces
    spaces["heads"] = spaces["embedding_tr"].model_copy(update={"kind": "heads", "published": "labels"})
    (project.model / "model.safetensors").unlink()
    with pytest.raises(Exception, match="1 train stories can't make 5 folds"):  # after the embedding was read
        project.make("heads")
    assert project.files() == files
