"""The look that all figures share, and how one becomes PNG bytes."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, GREY, INK = "#2f6fb0", "#d9822b", "#3a8f6a", "#9aa3ad", "#2b3138"
_DPI = 150
_STYLE: dict[Any, Any] = {
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "figure.titlesize": 10,
    "figure.titleweight": "bold",
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "font.family": "DejaVu Sans",  # comes with matplotlib, so figures are the same on every machine
    "text.parse_math": False,  # a `$` or `_` in a name is a `$` or `_`
}


@contextmanager
def figure(width: float, height: float) -> Iterator[Figure]:
    """Yield an empty figure, in inches, in the report's style; no window and no state shared with other figures."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        canvas = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(canvas)
        yield canvas


def png(canvas: Figure, title: str, width: int) -> bytes:
    """Return a figure as PNG bytes; the same figure gives the same bytes.

    Its title stands at the top left, broken into lines of at most `width` characters.
    """
    canvas.suptitle("\n".join(textwrap.wrap(title, width)) or title, x=0.01, ha="left")
    buffer = io.BytesIO()
    canvas.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    return buffer.getvalue()
