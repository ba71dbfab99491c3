"""Stage `features`: one feature space, a row per response row of every story.

Stage `designs`: which feature spaces each encoding model joins, by content digest.
"""

from __future__ import annotations

from qaemb.errors import BadParameter
from qaemb.features.builders import BUILDERS
from qaemb.features.inputs import Inputs
from qaemb.features.space import write_space
from qaemb.files import atomic_folder, write_json
from qaemb.identity import file_sha256
from qaemb.settings import Settings, SpaceSettings
from qaemb.workspace import Workspace


def features(settings: Settings, workspace: Workspace, space: str) -> None:
    """Write `features.parquet` (raw values) and `space.json` of one space of params.yaml.

    BadParameter if the space is not in `features.spaces` or a setting does not fit its model; BadMatrix if its answer
    matrix is not approved.
    """
    if space not in settings.features.spaces:
        known = ", ".join(settings.features.spaces)
        raise BadParameter(f"no feature space `{space}` in params.yaml, features.spaces; there are: {known}")
    own = settings.features.spaces[space]
    inputs = _inputs(settings, workspace, space)
    try:
        built = BUILDERS[own.kind](inputs)
    except BadParameter as error:
        raise BadParameter(f"features.spaces.{space}: {error}") from error
    n_rows = sum(len(values) for values in built.values.values())
    with atomic_folder(workspace.features(space)) as folder:
        write_space(folder / "features.parquet", built)
        about = {"space": space, "settings": own.model_dump(mode="json", exclude_none=True)}
        counts = {"n_stories": len(built.values), "n_rows": n_rows, "n_features": len(built.names)}
        figures = {"figures": built.figures} if built.figures else {}
        write_json(folder / "space.json", about | counts | figures | {"features": built.names})
    print(f"features {space}: {len(built.names)} features, {len(built.values)} stories, {n_rows} rows")


def _inputs(settings: Settings, workspace: Workspace, space: str) -> Inputs:
    """What the builder of a space reads; a space of several jobs reads what the spaces of each job alone would."""
    own = settings.features.spaces[space]
    if not own.jobs:
        return _plain_inputs(settings, workspace, space, own)
    for job in own.jobs:
        if not workspace.validation(job).is_relative_to(workspace.root / own.input):
            raise BadParameter(
                f"features.spaces.{space}.input: {own.input} does not hold the validation of job `{job}`, so DVC would "
                f"not see a change of it; give {workspace.validation(job).parent.relative_to(workspace.root)}"
            )
    alone = {job: own.model_copy(update={"job": job, "jobs": None}) for job in own.jobs}
    members = {job: _plain_inputs(settings, workspace, space, one) for job, one in alone.items()}
    return Inputs(own, settings.features.lanczos_lobes, workspace.dataset, members=members)


def _plain_inputs(settings: Settings, workspace: Workspace, space: str, own: SpaceSettings) -> Inputs:
    segmentation = settings.answers.jobs[own.job].segmentation if own.job else own.segmentation
    if segmentation and segmentation not in settings.segments:
        raise BadParameter(
            f"features.spaces.{space}: no segmentation `{segmentation}` in params.yaml, section segments"
        )
    return Inputs(
        space=own,
        lobes=settings.features.lanczos_lobes,
        dataset=workspace.dataset,
        segmentation=settings.segments[segmentation] if segmentation else None,
        segments=workspace.segments(segmentation) if segmentation else None,
        answers=workspace.answers(own.job) if own.job else None,
        validation=workspace.validation(own.job) if own.job else None,
        model=workspace.model(own.model) if own.model else None,
        vectors=workspace.vectors(settings.answers.store),
        beside=_beside(settings, own),
    )


def _beside(settings: Settings, own: SpaceSettings) -> tuple[SpaceSettings, ...]:
    """Return the spaces whose vectors come out of the same pass of the same model as those of `own`."""
    if own.kind != "hidden":
        return ()
    shared = ("kind", "model", "segmentation", "dtype")
    others = [space for space in settings.features.spaces.values() if space != own]
    return tuple(space for space in others if all(getattr(space, key) == getattr(own, key) for key in shared))


def designs(settings: Settings, workspace: Workspace) -> None:
    """Write `NAME.json` for every encoding model: its spaces and the SHA-256 of each space's feature table.

    DVC can't list a varying number of dependencies a stage; `encode@NAME` depends on this one small file instead, and
    so runs again only when one of its own spaces changed.
    """
    digests: dict[str, str] = {}
    with atomic_folder(workspace.designs) as folder:
        for name, spaces in settings.encode.spaces.items():
            for space in spaces:
                if space not in digests:
                    digests[space] = file_sha256(workspace.features(space) / "features.parquet")
            write_json(folder / f"{name}.json", {"name": name, "features_sha256": {s: digests[s] for s in spaces}})
    print(f"designs: {len(settings.encode.spaces)} encoding models over {len(digests)} feature spaces")
