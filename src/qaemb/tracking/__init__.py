"""Runs, parameters and scores in MLflow: what was fitted, on which data, and how well it did."""

from qaemb.tracking.record import RunRecord
from qaemb.tracking.tags import data_tags
from qaemb.tracking.tracker import Tracker

__all__ = ["RunRecord", "Tracker", "data_tags"]
