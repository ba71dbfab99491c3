"""Stage `answerers`: the key of every answerer that a job uses, so that `answers` runs again when a key changed."""

from __future__ import annotations

from qaemb.answers import open_answerer
from qaemb.files import atomic_folder, write_json
from qaemb.settings import Settings
from qaemb.workspace import Workspace


def answerers(settings: Settings, workspace: Workspace) -> None:
    """Write `NAME.json` for the answerer of every job and task: its key and all that is in the key.

    `answers@JOB` and `downstream@TASK` depend on this file alone: not on code, nor on settings that change no answer
    (engine, batches, threads), and for an ensemble or a cascade on all that changes its members or its thresholds.
    BadParameter or BadInput name a wrong answerer.
    """
    jobs, tasks = settings.answers.jobs.values(), settings.downstream.tasks.values()
    names = list(dict.fromkeys([*(job.answerer for job in jobs), *(task.answerer for task in tasks)]))
    with atomic_folder(workspace.answerers) as folder:
        for name in names:
            answerer = open_answerer(name, settings.answers.spec, workspace.model, workspace.root)
            write_json(folder / f"{name}.json", {"name": name, "key": answerer.key, "spec": answerer.spec})
    print(f"answerers: {', '.join(names)}")
