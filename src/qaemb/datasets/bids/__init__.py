"""bids: words from BIDS events, responses from fMRIPrep's outputs in volumes or on a surface."""

from __future__ import annotations

from qaemb.datasets.bids.index import BidsSettings
from qaemb.datasets.bids.source import ADAPTER, BidsSource

__all__ = ["ADAPTER", "BidsSettings", "BidsSource"]
