"""Answers as named features in Feast: an offline history, an online store, and new texts answered on demand."""

from qaemb.serving.definitions import feast_objects
from qaemb.serving.lookup import ServedFeatures, features_for
from qaemb.serving.manifest import Manifest, read_manifest, write_manifest
from qaemb.serving.store import build_store, open_store

__all__ = [
    "Manifest",
    "ServedFeatures",
    "build_store",
    "feast_objects",
    "features_for",
    "open_store",
    "read_manifest",
    "write_manifest",
]
