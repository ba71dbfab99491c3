"""`qaemb dataset check`: look at a folder of stories and responses before it is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tqdm import tqdm

from qaemb.datasets.doctor.findings import Check, Problem, examine
from qaemb.datasets.registry import CHECKS, detect_adapter
from qaemb.datasets.words import NO_RULES, LabelRules
from qaemb.errors import BadInput, BadParameter
from qaemb.settings import BidsSettings, load_settings


def check_dataset(folder: Path, adapter: str = "auto", only_problems: bool = False) -> bool:
    """Print what is missing, wrong or suspicious in a folder, file by file, and return whether it has no errors.

    `adapter` is a name of section `dataset`, or `auto` to tell it from the folder. A folder that params.yaml names is
    looked at with the settings of params.yaml. BadInput if the folder is not there or of no known kind.
    """
    if adapter != "auto" and adapter not in CHECKS:
        raise BadParameter(f"--adapter: no adapter `{adapter}`; there are: auto, {', '.join(CHECKS)}")
    chosen = detect_adapter(folder) if adapter == "auto" else adapter
    checks = _plan(folder, chosen)
    counts: Counter[str] = Counter()
    for finding in examine(folder, checks):
        counts[finding.level] += 1
        if finding.level != "OK" or not only_problems:
            tqdm.write(f"{finding.level:<8} {finding.place}: {finding.message}")  # above a bar, if there is one
    print(
        f"{folder} ({chosen}): {len(checks)} checks, {counts['ERROR']} errors, {counts['WARNING']} warnings, "
        f"{counts['OK']} OK"
    )
    return not counts["ERROR"]


def _plan(folder: Path, adapter: str) -> list[Check]:
    try:
        return CHECKS[adapter](folder, *_settings(folder, adapter))
    except BadInput as error:
        return [Check(".", partial(_fail, error))]


def _fail(error: BadInput) -> Iterator[Problem]:
    raise error


def _settings(folder: Path, adapter: str) -> tuple[BidsSettings, LabelRules]:
    """Return what params.yaml says of this folder; the defaults if it names another."""
    params = Path("params.yaml")
    if params.exists():
        section = load_settings(params).dataset
        if section.adapter == adapter and section.path.resolve() == folder.resolve():
            return section.bids, LabelRules.of(section)
    return BidsSettings(), NO_RULES
