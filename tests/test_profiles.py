"""`qaemb use` switches the data set by rewriting params.yaml, or leaves it as it was."""

import shutil
from pathlib import Path

import pytest
import yaml

from qaemb.errors import BadInput, BadParameter
from qaemb.profiles import SECTIONS, use_profile
from qaemb.settings import load_settings

ROOT = Path(__file__).parents[1]
PROFILES = ROOT / "data" / "profiles"


@pytest.fixture
def params(tmp_path: Path) -> Path:
    return Path(shutil.copy(ROOT / "params.yaml", tmp_path / "params.yaml"))


def test_the_default_params_are_the_profile_miniature() -> None:
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    profile = yaml.safe_load((PROFILES / "miniature.yaml").read_text())
    assert profile == {section: values[section] for section in SECTIONS}


@pytest.mark.parametrize("name", sorted(p.stem for p in PROFILES.glob("*.yaml")))
def test_every_profile_gives_valid_params_and_back(params: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QAEMB_LEBEL_PCS", raising=False)
    before = yaml.safe_load(params.read_text())
    use_profile(params, PROFILES, name)
    assert load_settings(params).dataset.name == name
    use_profile(params, PROFILES, "miniature")
    assert yaml.safe_load(params.read_text()) == before


def test_it_says_what_changed_and_keeps_other_sections(params: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QAEMB_LEBEL_PCS", "some/where")
    lines = use_profile(params, PROFILES, "lebel_pcs")
    assert "dataset.name: miniature -> lebel_pcs" in lines
    assert "dataset.path: data/work/miniature -> some/where" in lines
    assert "# One section a stage" in params.read_text()
    again = use_profile(params, PROFILES, "lebel_pcs")
    assert again == ["params.yaml already has everything of profile lebel_pcs"]


def test_wrong_profiles_leave_params_as_they_were(params: Path, tmp_path: Path) -> None:
    before = params.read_text()
    with pytest.raises(BadParameter, match="no profile `nothing`.*lebel_pcs, miniature"):
        use_profile(params, PROFILES, "nothing")
    (tmp_path / "extra.yaml").write_text("miniature: {seed: 2}\n")
    with pytest.raises(BadInput, match="section `miniature` can't be in a profile"):
        use_profile(params, tmp_path, "extra")
    (tmp_path / "broken.yaml").write_text("select: {spaces: [nowhere]}\n")
    with pytest.raises(BadParameter, match=r"broken\.yaml: .*`nowhere` is not in features\.spaces"):
        use_profile(params, tmp_path, "broken")
    assert params.read_text() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["broken.yaml", "extra.yaml", "params.yaml"]
