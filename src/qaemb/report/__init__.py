"""The report: what a run found, as one HTML page that needs nothing else, with its figures and tables beside it."""

from qaemb.report.figures import draw
from qaemb.report.render import render

__all__ = ["draw", "render"]
