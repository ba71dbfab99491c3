"""The adapters by name, as `dataset.adapter` in params.yaml names them."""

from __future__ import annotations

from qaemb.datasets.ds003020 import Ds003020
from qaemb.datasets.lebel_pcs import LebelPcs
from qaemb.datasets.source import Source

SOURCES: dict[str, type[Source]] = {"ds003020": Ds003020, "lebel_pcs": LebelPcs}
