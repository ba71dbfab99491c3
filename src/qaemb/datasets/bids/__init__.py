"""bids: words from BIDS events, responses from fMRIPrep's outputs in volumes or on a surface."""

from __future__ import annotations

from qaemb.datasets.bids.source import BidsSource

__all__ = ["BidsSource"]
