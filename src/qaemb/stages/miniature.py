"""Stage `miniature`: generate the default data set from the annotated stories under data/miniature."""

from __future__ import annotations

from qaemb.datasets.miniature.generate import generate
from qaemb.files import atomic_folder
from qaemb.settings import Settings
from qaemb.workspace import Workspace


def miniature(settings: Settings, workspace: Workspace) -> None:
    """Write `data/work/miniature/` in the layout of ds003020; the same seed gives the same bytes."""
    with atomic_folder(workspace.miniature) as folder:
        rows = generate(workspace.root / "data" / "miniature", folder, settings.miniature)
    print(
        f"miniature: {len(rows)} stories, {sum(rows.values())} response rows, "
        f"{settings.miniature.n_subjects} subjects of {settings.miniature.n_voxels} voxels"
    )
