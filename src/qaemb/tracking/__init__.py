"""Runs, parameters, scores and students in MLflow: what was fitted, on which data, and how well it did."""

from qaemb.tracking.feature_model import FeatureContract, FeatureModel, Training
from qaemb.tracking.record import RunRecord
from qaemb.tracking.student_model import ModelVersionRef, StudentModel, StudentWeights
from qaemb.tracking.tags import data_tags
from qaemb.tracking.tracker import Tracker

__all__ = [
    "FeatureContract",
    "FeatureModel",
    "ModelVersionRef",
    "RunRecord",
    "StudentModel",
    "StudentWeights",
    "Tracker",
    "Training",
    "data_tags",
]
