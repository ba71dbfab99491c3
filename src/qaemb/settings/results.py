"""Settings of what is served and shown: `publish`, `report`."""

from __future__ import annotations

from pydantic import Field

from qaemb.settings.base import Section


class PublishSettings(Section):
    """What Feast serves (stage `publish`)."""

    job: str = Field(description="the answers job whose cells are served")
    sets: list[str] = Field(min_length=1, description="question sets, a feature service each")
    ttl_days: float = Field(0.0, ge=0.0, description="an older answer is not served but given anew; 0: never too old")


class ReportSettings(Section):
    """The report (stage `report`)."""

    map_space: str = Field(description="the encoding model shown on the cortical maps")
    n_top_questions: int = Field(15, ge=1)
