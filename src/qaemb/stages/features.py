"""Stages `features` (one feature space, a row per response row of every story) and `designs` (what models join)."""

from __future__ import annotations

from qaemb.errors import BadParameter, require
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
    spec = require(settings.features.spaces, space, "feature space", "params.yaml, features.spaces")
    inputs = _inputs(settings, workspace, space)
    try:
        built = BUILDERS[spec.kind](inputs)
    except BadParameter as error:
        raise BadParameter(f"features.spaces.{space}: {error}") from error
    n_rows = sum(len(values) for values in built.values.values())
    with atomic_folder(workspace.features(space)) as folder:
        write_space(folder / "features.parquet", built)
        about = {"space": space, "settings": spec.model_dump(mode="json", exclude_none=True)}
        counts = {"n_stories": len(built.values), "n_rows": n_rows, "n_features": len(built.names)}
        figures = {"figures": built.figures} if built.figures else {}
        write_json(folder / "space.json", about | counts | figures | {"features": built.names})
    print(f"features {space}: {len(built.names)} features, {len(built.values)} stories, {n_rows} rows")


def _inputs(settings: Settings, workspace: Workspace, space: str) -> Inputs:
    """Return what the builder of a space reads; a space of several jobs reads what spaces of each job alone would."""
    spec = settings.features.spaces[space]
    if not spec.jobs:
        return _plain_inputs(settings, workspace, space, spec)
    for job in spec.jobs:
        if not workspace.validation(job).is_relative_to(workspace.root / spec.input):
            raise BadParameter(
                f"features.spaces.{space}.input: {spec.input} does not hold the validation of job `{job}`, so DVC would"
                f" not see a change of it; give {workspace.validation(job).parent.relative_to(workspace.root)}"
            )
    alone = {job: spec.model_copy(update={"job": job, "jobs": None}) for job in spec.jobs}
    members = {job: _plain_inputs(settings, workspace, space, one) for job, one in alone.items()}
    return Inputs(spec, settings.features.lanczos_lobes, workspace.dataset, members=members)


def _plain_inputs(settings: Settings, workspace: Workspace, space: str, spec: SpaceSettings) -> Inputs:
    segmentation = settings.answers.jobs[spec.job].segmentation if spec.job else spec.segmentation
    if segmentation and segmentation not in settings.segments:
        raise BadParameter(
            f"features.spaces.{space}: no segmentation `{segmentation}` in params.yaml, section segments"
        )
    return Inputs(
        space=spec,
        lobes=settings.features.lanczos_lobes,
        dataset=workspace.dataset,
        segmentation=settings.segments[segmentation] if segmentation else None,
        segments=workspace.segments(segmentation) if segmentation else None,
        answers=workspace.answers(spec.job) if spec.job else None,
        validation=workspace.validation(spec.job) if spec.job else None,
        model=workspace.model(spec.model) if spec.model else None,
        vectors=workspace.vectors(settings.answers.store),
        beside=_beside(settings, spec),
    )


def _beside(settings: Settings, spec: SpaceSettings) -> tuple[SpaceSettings, ...]:
    """Return the other spaces whose vectors come out of the same pass of the same model."""
    if spec.kind != "hidden":
        return ()
    shared = ("kind", "model", "segmentation", "dtype")
    others = [space for space in settings.features.spaces.values() if space != spec]
    return tuple(space for space in others if all(getattr(space, key) == getattr(spec, key) for key in shared))


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
