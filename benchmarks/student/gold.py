"""The table of docs/students.md on the gold annotations, from the default job: `python -m benchmarks.student.gold`.

Reads the grades that `dvc repro` left in data/work/validation. The student was not trained on gold.
"""

from __future__ import annotations

import pandas as pd
import yaml

from benchmarks.student.pcs import ROOT
from benchmarks.student.table import DOCS
from qaemb.files import write_text

_BEGIN, _END = "<!-- gold: begin -->", "<!-- gold: end -->"
_JOBS = {"zero_shot": "zeroshot_sentence", "trained": "student_sentence"}


def main() -> None:
    """Write the table between its marks."""
    grades = {
        name: pd.read_csv(ROOT / "data" / "work" / "validation" / job / "grades.csv").set_index("name")["auc"]
        for name, job in _JOBS.items()
    }
    entries = yaml.safe_load((ROOT / "data" / "questions" / "maps" / "lebel_pcs.yaml").read_text(encoding="utf-8"))
    relation = {entry["name"]: entry["relation"] for entry in entries["questions"]}
    table = pd.DataFrame(grades).dropna()
    table["relation"] = [relation.get(name, "") for name in table.index]
    taught, others = table[table["relation"] != ""], table[table["relation"] == ""]
    lines = ["| mean AUC against gold | questions | zero-shot | student |", "|---|---|---|---|"]
    for name, part in (("all", table), ("with a head", taught), ("without", others)):
        means = part[["zero_shot", "trained"]].mean()
        lines.append(f"| {name} | {len(part)} | {means['zero_shot']:.3f} | {means['trained']:.3f} |")
    lines += [
        "",
        "Each pair of the map that can be graded (`relation`: how the teacher's question relates to the bank's):",
        "",
    ]
    lines += ["| question | relation | zero-shot | student |", "|---|---|---|---|"]
    lines += [
        f"| `{row.Index}` | {row.relation} | {row.zero_shot:.2f} | {row.trained:.2f} |" for row in taught.itertuples()
    ]
    text = DOCS.read_text(encoding="utf-8")
    before, after = text.split(_BEGIN)[0], text.split(_END)[1]
    write_text(DOCS, f"{before}{_BEGIN}\n" + "\n".join(lines) + f"\n{_END}{after}")
    print("\n".join(lines[:5]))


if __name__ == "__main__":
    main()
