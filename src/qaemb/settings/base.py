"""What every section of params.yaml has in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A frozen, checked section; it refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")
