"""The committed result as Markdown, and docs/performance.md kept in step: `python -m benchmarks.answers.table`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.answers.scale import scale_markdown
from benchmarks.record import RESULTS
from qaemb.errors import BadInput
from qaemb.files import read_json, write_text

DOCS = Path(__file__).parents[2] / "docs" / "performance.md"
_SPEEDS = {
    "shared": "`shared`",
    "shared_bf16": "`shared` bf16",
    "imodelsx": "imodelsX",
    "left_padded": "left-padded",
    "vllm": "vLLM",
    "reference": "`reference`",
    "floor": "floor",
    "floor_bf16": "floor bf16",
}
_RATIOS = {
    "shared_over_imodelsx": "imodelsX",
    "shared_bf16_over_imodelsx": "imodelsX, bf16 over its float32",
    "shared_over_left_padded": "left-padded",
    "shared_over_vllm": "vLLM",
    "shared_over_reference": "`reference`",
    "shared_share_of_floor": "floor",
    "shared_bf16_share_of_floor": "floor, both bf16",
    "shared_bf16_over_shared": "bf16 over float32",
}


def markdown(result: Mapping[str, Any]) -> str:
    """Return a result's tables: speeds and ratios of every case, medians, ratios with their range over the rounds."""
    cases = result["figures"]["cases"]
    speeds = [_row(name, [*(_speed(case, key) for key in _SPEEDS), *_notes(case)]) for name, case in cases.items()]
    ratios = [_row(name, [_ratio(case, key) for key in _RATIOS]) for name, case in cases.items()]
    commit = f"`{result['commit'][:12]}`{' with changes' if result['dirty'] else ''}"
    return "\n".join(
        [
            f"Commit {commit}, {result['machine']['cpu']}, {result['settings']['rounds']} rounds of each case. "
            "Median cells per core-second:",
            "",
            *_head("case", [*_SPEEDS.values(), "vLLM's hit rate", "bf16 margins off by"]),
            *speeds,
            "",
            "`shared` as a multiple of the others, round by round: median (smallest to largest):",
            "",
            *_head("case", _RATIOS.values()),
            *ratios,
        ]
    )


def with_part(text: str, name: str, part: str) -> str:
    """Return a document with the part between its marks `NAME: begin` and `NAME: end` replaced; BadInput without."""
    marks = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    pattern = re.compile(f"{re.escape(marks[0])}\n.*?{re.escape(marks[1])}", re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise BadInput(f"the document needs the marks {marks[0]} and {marks[1]} once")
    return pattern.sub(lambda match: f"{marks[0]}\n{part}\n{marks[1]}", text)


def documented(text: str, result: Mapping[str, Any]) -> str:
    """Return the document with all parts that come from the result."""
    tokens = result["figures"]["cases"]["short_300_text_first"]["tokens"][0]
    return with_part(with_part(text, "answers", markdown(result)), "scale", scale_markdown(tokens))


def main() -> None:
    """Put the committed result's tables into docs/performance.md."""
    result = read_json(RESULTS / "answers.json")
    write_text(DOCS, documented(DOCS.read_text(encoding="utf-8"), result))
    print(f"wrote {DOCS}")


def _notes(case: Mapping[str, Any]) -> list[str]:
    """The share of prompt tokens that vLLM had in its cache, and the largest difference of bf16 margins in nats."""
    hits = case["contestants"].get("vllm", {}).get("prefix_hit_rate")
    difference = case["largest_margin_difference_from_shared"].get("shared_bf16")
    return [f"{hits['median']:.3f}" if hits else "", "" if difference is None else f"{difference:.2f}"]


def _head(first: str, names: Iterable[str]) -> list[str]:
    columns = [first, *names]
    return [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]


def _row(name: str, values: list[str]) -> str:
    return f"| {name} | {' | '.join(values)} |"


def _speed(case: Mapping[str, Any], key: str) -> str:
    found = case["contestants"].get(key)
    return f"{found['cells_per_core_s']['median']:.3g}" if found else ""


def _ratio(case: Mapping[str, Any], key: str) -> str:
    found = case["ratios"].get(key)
    return f"{found['median']:.2f} ({found['min']:.2f} to {found['max']:.2f})" if found else ""


if __name__ == "__main__":
    main()
