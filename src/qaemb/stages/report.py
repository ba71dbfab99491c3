"""Stage `report`: the results of all stages on one page; and the summary that `make run` prints at its end."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from qaemb.encoding.jackknife import Jackknife
from qaemb.encoding.results import read_jackknife
from qaemb.files import atomic_file, atomic_folder, read_json, write_text
from qaemb.report import draw, render
from qaemb.report.data import (
    CortexMap,
    DatasetFacts,
    Findings,
    Interpretation,
    JobFacts,
    QuestionFacts,
    Selection,
    read_importance,
    read_scores,
    read_tasks,
)
from qaemb.report.jobs import JobPlaces, paired, read_job
from qaemb.report.render import number
from qaemb.report.sentences import grade_in_words
from qaemb.settings import Settings
from qaemb.tasks import MAIN_METRIC
from qaemb.workspace import Workspace

_READABLE = ("qa", "gold", "published")  # kinds of spaces whose features are questions
_BASELINES = ("word_rate", "embedding")


def report(settings: Settings, workspace: Workspace) -> None:
    """Write reports/index.html, reports/figures/*.png, reports/scores.csv and reports/curve.csv.

    Only the data set must be there; what else is missing (gold, repeats, voxels, a stage not run) is said on the page.
    """
    findings = gather(settings, workspace)
    figures = draw(findings)
    page = render(findings, figures)
    with atomic_folder(workspace.reports / "figures") as folder:
        for name, content in figures.items():
            (folder / name).write_bytes(content)
    for name, table in {"scores.csv": findings.score_table(), "curve.csv": findings.curve_table()}.items():
        with atomic_file(workspace.reports / name) as temporary:
            table.to_csv(temporary, index=False)
    write_text(workspace.reports / "index.html", page)
    print(f"report: {workspace.reports / 'index.html'} with {len(figures)} figures, {len(page) / 2**20:.1f} MiB")


def gather(settings: Settings, workspace: Workspace) -> Findings:
    """Return all that the report shows, read from the files that the stages wrote."""
    models = settings.encode.spaces
    kinds = {name: settings.features.spaces[parts[0]].kind for name, parts in models.items() if len(parts) == 1}
    readable = {name: workspace.encoding(name) for name, kind in kinds.items() if kind in _READABLE}
    baselines = [name for of in _BASELINES for name, kind in kinds.items() if kind == of]
    map_model = settings.report.map_space
    scores = read_scores({name: workspace.metrics("encode", name) for name in models})
    return Findings(
        dataset=DatasetFacts.read(settings.dataset.name, workspace.dataset),
        questions=QuestionFacts.read(workspace.questions),
        jobs=_jobs(settings, workspace),
        scores=scores,
        pairs=paired(_means(workspace, scores), baselines),
        protocol=settings.encode.protocol,
        kinds=dict(kinds),
        selections=_selections(settings, workspace),
        importance=read_importance(readable, settings.report.n_top_questions),
        interpretations=_interpretations(settings, workspace),
        n_top_questions=settings.report.n_top_questions,
        tasks=read_tasks(_task_metrics(settings, workspace)),
        map_model=map_model,
        maps=CortexMap.read(workspace.dataset / "voxels.parquet", workspace.encoding(map_model) / "scores.parquet"),
    )


def _task_metrics(settings: Settings, workspace: Workspace) -> dict[str, tuple[str, str, Path]]:
    """Return of each task its kind, the metric to show, and the file of its metrics."""
    tasks = settings.downstream.tasks.items()
    return {name: (task.kind, MAIN_METRIC[task.kind], workspace.metrics("downstream", name)) for name, task in tasks}


def _means(workspace: Workspace, scores: pd.DataFrame) -> dict[str, dict[str, Jackknife]]:
    """Return the jackknifed mean r of every score, by model and subject."""
    means: dict[str, dict[str, Jackknife]] = {}
    for subject, model in zip(scores["subject"], scores["model"], strict=True):
        means.setdefault(model, {})[subject] = read_jackknife(workspace.encoding(model), subject)
    return means


def _jobs(settings: Settings, workspace: Workspace) -> tuple[JobFacts, ...]:
    jobs = []
    for name, job in settings.answers.jobs.items():
        places = JobPlaces(
            answers=workspace.answers(name),
            validation=workspace.validation(name),
            data_docs=workspace.reports / "data_docs" / name,
            reports=workspace.reports,
        )
        jobs.append(read_job(name, job, settings.answers.spec[job.answerer], places))
    return tuple(job for job in jobs if job is not None)


def _selections(settings: Settings, workspace: Workspace) -> tuple[Selection, ...]:
    selections = [
        Selection.read(space, workspace.selection(space), workspace.selected / f"{space}.yaml")
        for space in settings.select.spaces
    ]
    return tuple(selection for selection in selections if selection is not None)


def _interpretations(settings: Settings, workspace: Workspace) -> tuple[Interpretation, ...]:
    models = [name for name in settings.interpret.models if name in settings.encode.spaces]
    interpretations = [Interpretation.read(name, workspace.interpretation(name)) for name in models]
    return tuple(interpretation for interpretation in interpretations if interpretation is not None)


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
    speeds = _speed_lines(settings, workspace)
    if speeds:
        print("\nCells that the last runs on this machine answered")
        print("\n".join(speeds))
    tasks = read_tasks(_task_metrics(settings, workspace))
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


def _speed_lines(settings: Settings, workspace: Workspace) -> list[str]:
    """Return a line per job: how many cells its last run answered, and how fast.

    The report has no speeds: each run has others, and DVC would see another report.
    """
    lines = []
    for name in settings.answers.jobs:
        path = workspace.run_figures("answers", name)
        run = read_json(path) if path.exists() else {}
        if run.get("cells_answered_now"):
            lines.append(f"  {name}: {run['cells_answered_now']:,} cells, {run['cells_per_s']:,.1f} cells/s")
        elif run:
            lines.append(f"  {name}: none, all from the store")
    return lines


def _task_lines(tasks: pd.DataFrame) -> list[str]:
    """Return a line per task and metric, and under it one per method, the best ones first and alone."""
    lines, width = [], tasks["method"].str.len().max()
    for (task, metric), rows in tasks.groupby(["task", "metric"], sort=False):
        more = f" (the best {_SHOWN} of {len(rows)} methods)" if len(rows) > _SHOWN else ""
        lines.append(f"  {task}: {metric}{more}")
        for row in rows.nlargest(_SHOWN, "value").to_dict("records"):
            ends = f"{number(row['low'])} to {number(row['high'])}"
            lines.append(f"    {row['method']:<{width}}  {number(row['value'])}  ({ends})")
    return lines
