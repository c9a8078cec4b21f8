"""The style that all figures of the report share: colours, panels, legends, cost axes.

The colours are Okabe and Ito's, which people with colour-vision deficiency can tell apart; kinds of
network also differ in marker.
"""

import io
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any, ParamSpec

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

VERMILLION, BLUE, SKY, BLACK = "#D55E00", "#0072B2", "#56B4E9", "#222222"
BASELINE_COLOURS = (BLUE, "#009E73", "#CC79A7", "#E69F00", SKY)
GREY, DARK = "#A6A6A6", "#5F5F5F"
STYLE: Any = {
    "font.size": 11,
    "axes.labelsize": 11,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#E4E4E4",
    "legend.frameon": False,
    "legend.fontsize": 10,
    "svg.hashsalt": "nasgait",  # the same data gives the same bytes
    "svg.fonttype": "path",  # and every machine shows the same letters
}
COST_LABELS = {"macs": "MACs", "params": "Parameters", "latency": "Latency"}

P = ParamSpec("P")


def as_svg(figure: Callable[P, Figure]) -> Callable[P, bytes]:
    """Decorate a function that makes a figure: draw it in the report's style, return SVG."""

    @wraps(figure)
    def draw(*args: P.args, **kwargs: P.kwargs) -> bytes:
        buffer = io.BytesIO()
        with matplotlib.rc_context(STYLE):
            figure(*args, **kwargs).savefig(buffer, format="svg", metadata={"Date": None})
        return buffer.getvalue()

    return draw


def panels(number: int, share: bool = True) -> tuple[Figure, list[Axes]]:
    """A figure with panels side by side; by default they share the vertical axis."""
    figure = Figure(figsize=(9.0, 4.4), layout="constrained")
    return figure, list(figure.subplots(1, number, squeeze=False, sharey=share)[0])


FARTHEST_LIMIT = 2
"""A limit is drawn up to so many times the largest cost; beyond it would squeeze the networks."""


def legend(figure: Figure, axes: Iterable[Axes]) -> None:
    """Put one legend below the panels: each label once, what is drawn on top first."""
    handles: dict[str, Any] = {}
    for panel in axes:
        handles.update(zip(*panel.get_legend_handles_labels()[::-1], strict=True))
    labels = list(handles)[::-1]
    lines = [handles[label] for label in labels]
    figure.legend(lines, labels, loc="outside lower center", ncols=min(5, len(labels)))


def cost_axis(panel: Axes, cost: str, values: Sequence[float], limit: float | None) -> float:
    """Label the cost axis and draw the budget's limit, unless it is far off; returns the unit."""
    largest = max(values)
    unit, letter = next(
        ((u, s) for u, s in ((1e9, "G"), (1e6, "M"), (1e3, "K")) if largest >= u), (1.0, "")
    )
    if cost == "latency":
        unit, letter = 1e-3, "ms"
    name = COST_LABELS[cost]
    panel.set_xlabel(f"{name} ({letter})" if letter else name)
    panel.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
    if limit is not None and limit <= FARTHEST_LIMIT * largest:
        panel.axvline(limit / unit, color=BLACK, linestyle=":", linewidth=1.4, label="budget")
    return unit
