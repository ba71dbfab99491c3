"""The real command line in a subprocess: plain messages, exit codes, nothing left behind."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]


def qaemb(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from qaemb.cli import main; main()", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copytree(ROOT / "data" / "profiles", tmp_path / "data" / "profiles")
    return tmp_path


def test_every_stage_of_dvc_yaml_is_a_command_and_a_function_of_the_same_name() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    help_text = qaemb("--help", cwd=ROOT).stdout
    code = "".join(path.read_text() for path in (ROOT / "src" / "qaemb" / "stages").glob("*.py"))
    for name, stage in stages.items():
        command = stage.get("do", stage)["cmd"]
        assert command.split()[:2] == ["qaemb", name]
        assert re.search(rf"\b{name}\b", help_text)
        assert code.count(f"\ndef {name}(") == 1


def test_help_shows_commands_in_groups_the_most_used_first() -> None:
    for arguments, first in (((), ("Every day", "use", "summary")), (("answers",), ("Answer", "plan", "run"))):
        text = qaemb(*arguments, "--help", cwd=ROOT).stdout
        places = [re.search(rf"(?m)^\W*{name}\b", text[text.index("Options") :]).start() for name in first]
        assert places == sorted(places)
        assert "Commands" not in text  # the heading of those that are in no group
    pages = "".join(path.read_text() for path in (ROOT / "src" / "qaemb" / "cli").glob("*.py"))
    names = re.findall(r'@app\.command\(\)\ndef (\w+)|add_typer\(\w+, name="(\w+)"\)', pages)
    listed = qaemb("--help", cwd=ROOT).stdout
    assert len(names) > 20
    assert all(re.search(rf"(?m)^\W*{one or other}\b", listed) for one, other in names)


def test_an_unknown_parameter_is_one_plain_line(project: Path) -> None:
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("protocol: strict", "protokol: strict"))
    done = qaemb("designs", cwd=project)
    assert done.returncode == 1
    assert done.stderr == "qaemb: params.yaml: unknown parameter `encode.protokol`; remove it or correct its name\n"
    assert not (project / "data" / "work").exists()


def test_outside_a_project_the_way_out_is_said(tmp_path: Path) -> None:
    done = qaemb("designs", cwd=tmp_path)
    assert done.returncode == 1
    assert "run qaemb from the project's root" in done.stderr


def test_a_stage_without_its_input_says_how_to_make_it(project: Path) -> None:
    done = qaemb("designs", cwd=project)
    assert done.returncode == 1
    assert re.search(r"features/gold/features.parquet does not exist; run `dvc repro`", done.stderr)
    assert not (project / "data" / "work" / "designs").exists()


def test_use_switches_and_says_so(project: Path) -> None:
    done = qaemb("use", "lebel_pcs", cwd=project)
    assert done.returncode == 0, done.stderr
    assert "dataset.name: miniature -> lebel_pcs" in done.stdout


@pytest.mark.parametrize("arguments", [["features"], ["answers"], ["features", "a text", "--space", "gold"]])
def test_a_missing_argument_is_a_usage_error(project: Path, arguments: list[str]) -> None:
    assert qaemb(*arguments, cwd=project).returncode == 2
