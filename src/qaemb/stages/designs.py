"""Stage `designs`: which feature spaces each encoding model joins, by content digest."""

from __future__ import annotations

from qaemb.files import atomic_folder, write_json
from qaemb.identity import file_sha256
from qaemb.settings import Settings
from qaemb.workspace import Workspace


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
