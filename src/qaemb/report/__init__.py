"""The report: what a run found, as one HTML page that needs nothing else, with its figures and tables beside it."""

from qaemb.report.data import curve_table, score_table
from qaemb.report.draw import draw
from qaemb.report.render import render

__all__ = ["curve_table", "draw", "render", "score_table"]
