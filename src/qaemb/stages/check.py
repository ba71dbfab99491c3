"""`qaemb dataset check`: look at a folder of stories and responses before it is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tqdm import tqdm

from qaemb.datasets.doctor import Check, Problem, examine
from qaemb.datasets.registry import ADAPTERS, detect_adapter, folder_checks
from qaemb.errors import BadInput, require_name
from qaemb.settings import DatasetSettings, load_settings


def check_dataset(folder: Path, adapter: str = "auto", only_problems: bool = False) -> bool:
    """Print what is missing, wrong or suspicious in a folder, file by file, and return whether it has no errors.

    `adapter` is a name as in `dataset.adapter`, or `auto` to tell it from the folder. If params.yaml names this folder,
    its settings count, else the defaults. BadInput if the folder is not there or of no known kind.
    """
    require_name(["auto", *ADAPTERS], adapter, "adapter")
    name = detect_adapter(folder) if adapter == "auto" else adapter
    checks = _plan(folder, name)
    counts: Counter[str] = Counter()
    for finding in examine(folder, checks):
        counts[finding.level] += 1
        if finding.level != "OK" or not only_problems:
            tqdm.write(f"{finding.level:<8} {finding.place}: {finding.message}")  # above a bar, if there is one
    print(
        f"{folder} ({name}): {len(checks)} checks, {counts['ERROR']} errors, {counts['WARNING']} warnings, "
        f"{counts['OK']} OK"
    )
    return not counts["ERROR"]


def _plan(folder: Path, adapter: str) -> list[Check]:
    try:
        return folder_checks(folder, adapter, _section_of(folder, adapter))
    except BadInput as error:
        return [Check(".", partial(_fail, error))]


def _fail(error: BadInput) -> Iterator[Problem]:
    raise error


def _section_of(folder: Path, adapter: str) -> DatasetSettings | None:
    """Return the section `dataset` of params.yaml if it is about this folder and adapter."""
    params = Path("params.yaml")
    if not params.exists():
        return None
    section = load_settings(params).dataset
    return section if section.adapter == adapter and section.path.resolve() == folder.resolve() else None
