"""Trained students: what one is on disk, and how its margins come from vectors of text. Training is in `distill`."""

from __future__ import annotations

from qaemb.answers.students.folder import Student, find_student, read_student, shipped_students, write_student
from qaemb.answers.students.parts import Conditioned, Heads, KnownQuestion, Layer, Reader, Trust

__all__ = [
    "Conditioned",
    "Heads",
    "KnownQuestion",
    "Layer",
    "Reader",
    "Student",
    "Trust",
    "find_student",
    "read_student",
    "shipped_students",
    "write_student",
]
