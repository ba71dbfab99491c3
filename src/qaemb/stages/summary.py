"""What `make run` says at its end: scores, grades, and where to look."""

from __future__ import annotations

import pandas as pd

from qaemb.files import read_json
from qaemb.report.collect import read_scores, read_tasks
from qaemb.report.meaning import grade_in_words
from qaemb.report.render import number
from qaemb.settings import Settings
from qaemb.stages.report import task_metrics
from qaemb.workspace import Workspace

_SHOWN = 6  # methods of a task


def summary(settings: Settings, workspace: Workspace) -> None:
    """Print mean r per encoding model and subject with ceilings, grades per answerer, tasks, and what to run next."""
    scores = read_scores({name: workspace.metrics("encode", name) for name in settings.encode.spaces})
    print(f"\nData set {settings.dataset.name}\n")
    print(_score_lines(scores) if len(scores) else "No encoding model was fitted; run `dvc repro`.")
    graded = _grade_lines(settings, workspace)
    if graded:
        print("\nAnswerers against the gold answers")
        print("\n".join(graded))
    tasks = read_tasks(task_metrics(settings, workspace))
    if len(tasks):
        print("\nTasks on answers, beside baselines (95 % intervals)")
        print("\n".join(_task_lines(tasks)))
    print(f"\nReport         {workspace.reports / 'index.html'}")
    print("MLflow         make ui            (every run, its parameters, data and scores)")
    print("Feast          make serve         (named features over HTTP)")
    print("Metrics        . .venv/bin/activate && dvc metrics show   (and: dvc plots show)")


def _score_lines(scores: pd.DataFrame) -> str:
    """Return the table: a row per model, best first, a column per subject, then the row of ceilings."""
    wide = scores.pivot_table(index="model", columns="subject", values="mean_r", dropna=False, sort=False)
    wide = wide.loc[wide.mean(axis=1).sort_values(ascending=False).index]
    rows = [("mean r, test stories", [str(subject) for subject in wide.columns])]
    rows += [(str(model), [number(value) for value in values]) for model, values in wide.T.items()]
    ceilings = scores.groupby("subject", sort=False)["mean_ceiling"].max().reindex(wide.columns)
    if ceilings.notna().any():
        rows.append(("noise ceiling", [number(value) for value in ceilings]))
    first = max(len(name) for name, _ in rows)
    others = max(8, *(len(str(subject)) for subject in wide.columns))
    lines = [f"  {name:<{first}}" + "".join(f"  {value:>{others}}" for value in values) for name, values in rows]
    rule = "  " + "-" * (len(lines[0]) - 2)
    models, ceiling = lines[1 : 1 + len(wide)], lines[1 + len(wide) :]
    return "\n".join([lines[0], rule, *models, *([rule, *ceiling] if ceiling else [])])


def _grade_lines(settings: Settings, workspace: Workspace) -> list[str]:
    lines = []
    for name, job in settings.answers.jobs.items():
        path = workspace.metrics("validate", name)
        auc = read_json(path).get("mean_auc") if path.exists() else None
        if auc is not None:
            answerer = settings.answers.spec[job.answerer].named(job.answerer)
            lines.append(f"  {answerer} {grade_in_words(auc)}: mean AUC {auc:.3f} (job {name})")
    return lines


def _task_lines(tasks: pd.DataFrame) -> list[str]:
    """Return a line per task and metric, and under it one per method, the best ones first and alone."""
    lines, width = [], tasks["method"].str.len().max()
    for (task, metric), own in tasks.groupby(["task", "metric"], sort=False):
        more = f" (the best {_SHOWN} of {len(own)} methods)" if len(own) > _SHOWN else ""
        lines.append(f"  {task}: {metric}{more}")
        for row in own.nlargest(_SHOWN, "value").to_dict("records"):
            ends = f"{number(row['low'])} to {number(row['high'])}"
            lines.append(f"    {row['method']:<{width}}  {number(row['value'])}  ({ends})")
    return lines
