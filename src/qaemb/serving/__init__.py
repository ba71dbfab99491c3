"""Answers as named features in Feast: an offline history, an online store, and new texts answered on demand."""

from qaemb.serving.definitions import array_view_name, feast_objects, push_source_name
from qaemb.serving.feast_store import build_store
from qaemb.serving.forgotten import forget
from qaemb.serving.historical import historical_features
from qaemb.serving.history import read_history, version_rows
from qaemb.serving.lookup import ServedFeatures, features_for
from qaemb.serving.manifest import Manifest, Version, all_versions, read_manifest, write_manifest
from qaemb.serving.repository import open_store

__all__ = [
    "Manifest",
    "ServedFeatures",
    "Version",
    "all_versions",
    "array_view_name",
    "build_store",
    "feast_objects",
    "features_for",
    "forget",
    "historical_features",
    "open_store",
    "push_source_name",
    "read_history",
    "read_manifest",
    "version_rows",
    "write_manifest",
]
