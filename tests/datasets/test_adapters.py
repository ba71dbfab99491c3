"""An adapter is a module and an entry of the registry; what params.yaml says about it is checked before it is read."""

import json
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from pydantic import Field

from qaemb.datasets.doctor import Check
from qaemb.datasets.registry import ADAPTERS, detect_adapter
from qaemb.datasets.source import Adapter, Responses, Source, Timing
from qaemb.errors import BadInput, BadParameter
from qaemb.profiles import use_profile
from qaemb.settings import DatasetSettings, Settings, load_settings
from qaemb.settings.base import Section
from qaemb.stages.check import check_dataset
from qaemb.stages.inputs import dataset
from qaemb.workspace import Workspace

ROOT = Path(__file__).parents[2]


class ToySettings(Section):
    """One key."""

    tr_s: float = Field(2.0, gt=0)


class ToySource(Source):
    """One subject, stories of a JSON file as lists of words, one a second; responses are noise."""

    def __init__(self, folder: Path, settings: ToySettings) -> None:
        self.texts, self.tr_s = json.loads((folder / "toy.json").read_text()), settings.tr_s

    def stories(self):
        return sorted(self.texts)

    def subjects(self):
        return ["toy"]

    def has(self, subject, story):
        return story in self.texts

    def timing(self, story):
        return Timing(int(len(self.texts[story]) / self.tr_s), self.tr_s, self.tr_s / 2)

    def words(self, story):
        onset = np.arange(len(self.texts[story]), dtype=float)
        return pd.DataFrame({"word": self.texts[story], "onset_s": onset, "offset_s": onset + 1})

    @contextmanager
    def responses(self, subject, story):
        yield Responses(np.random.default_rng(0).normal(size=(self.timing(story).n_trs, 3)), None, "toy.json")


def toy_checks(folder, settings):
    source = ToySource(folder, settings)

    def look(story):
        yield "OK", f"{source.timing(story).n_trs} rows"

    return [Check(story, partial(look, story)) for story in source.stories()]


TOY = Adapter(ToySource, toy_checks, mark="toy.json", patterns=("toy.json",), settings=ToySettings)


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A folder of a kind that only the registry's entry makes known."""
    monkeypatch.setitem(ADAPTERS, "toy", TOY)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "toy.json").write_text(json.dumps({story: ["we", "went", "home", "late"] * 4 for story in "ab"}))
    return folder


def params(path, **more):
    """Write params.yaml with a section `dataset` for the folder `path`, and return its path."""
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    section = {"name": "mine", "adapter": "toy", "path": str(path), "subjects": ["toy"], "test_stories": ["b"]}
    values["dataset"] = section | more
    Path("params.yaml").write_text(yaml.safe_dump(values))
    return Path("params.yaml")


def test_a_folder_of_a_new_adapter_is_detected_checked_and_read(toy, tmp_path, capsys):
    assert detect_adapter(toy) == "toy"
    assert check_dataset(toy)
    assert capsys.readouterr().out.splitlines()[-1] == f"{toy} (toy): 2 checks, 0 errors, 0 warnings, 2 OK"
    settings = load_settings(params(toy, toy={"tr_s": 4.0}))
    assert check_dataset(toy)
    assert "a: 4 rows" in capsys.readouterr().out  # with the settings of params.yaml, since it names this folder
    dataset(settings, Workspace(tmp_path))
    stories = pd.read_parquet(Workspace(tmp_path).dataset / "stories.parquet")
    rows = stories[["story", "split", "n_trs", "tr_s"]].values.tolist()
    assert rows == [["a", "train", 4, 4.0], ["b", "test", 4, 4.0]]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"toy": {"tr": 1}}, r"^params\.yaml: unknown parameter `dataset\.toy\.tr`; remove it or correct its name$"),
        ({"toy": {"tr_s": 0}}, r"^params\.yaml: dataset\.toy\.tr_s: Input should be greater than 0$"),
        ({"toys": {"tr_s": 1}}, r"^params\.yaml: unknown parameter `dataset\.toys`; remove it or correct its name$"),
        ({"folder": {"tr_s": 1}}, r"^params\.yaml: unknown parameter `dataset\.folder`; remove it"),
        ({"bids": {"story": "run"}}, r"^params\.yaml: dataset: section `bids` belongs to adapter `bids`, not `toy`$"),
        (
            {"adapter": "nifti"},
            r"no adapter `nifti` in params\.yaml, dataset\.adapter; there are: ds003020, .*, toy",
        ),
    ],
)
def test_wrong_keys_stop_the_stage_before_anything_is_read(toy, tmp_path, more, message):
    settings = load_settings(params(tmp_path / "nowhere", **more))
    with pytest.raises(BadParameter, match=message):
        dataset(settings, Workspace(tmp_path))
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("value", ["a", ["a"], 3])
def test_a_key_that_is_no_section_is_refused_with_the_settings(toy, value):
    with pytest.raises(BadParameter, match=r"params\.yaml: unknown parameter `dataset\.subject`; remove it"):
        load_settings(params(toy, subject=value))


def test_a_profile_with_a_wrong_section_leaves_params_as_they_were(toy, tmp_path):
    path = params(toy)
    before = path.read_text()
    section = yaml.safe_load(before)["dataset"] | {"toy": {"tr": 1}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"dataset": section}))
    with pytest.raises(BadParameter, match=r"mine\.yaml: unknown parameter `dataset\.toy\.tr`"):
        use_profile(path, tmp_path, "mine")
    assert path.read_text() == before


def test_a_source_without_extras_has_none():
    class Silent(ToySource):
        def __init__(self):
            self.texts = {}

    source = Silent()
    extras = (source.sentences("a"), source.gold_properties(), source.gold("a"), source.voxels("toy"))
    assert (extras, source.published("a"), source.held_out()) == ((None,) * 4, {}, frozenset())


def test_a_source_must_say_what_it_has(tmp_path):
    with pytest.raises(TypeError, match="abstract"):
        Source()
    with pytest.raises(BadInput, match="is not a folder"):
        detect_adapter(tmp_path / "none")
    assert Settings.model_fields["dataset"].annotation is DatasetSettings
