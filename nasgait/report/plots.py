"""The report's figures: plain data in, SVG out.

Colours are those of Okabe and Ito, told apart with every common kind of colour
vision; kinds of network differ in marker as well.
"""

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from nasgait.report.rundir import Metrics, Network
from nasgait.search.ledger import Entry
from nasgait.search.pareto import minima

VERMILLION, BLUE, SKY, BLACK = "#D55E00", "#0072B2", "#56B4E9", "#222222"
BASELINES = (BLUE, "#009E73", "#CC79A7", "#E69F00", SKY)
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
    "svg.fonttype": "path",  # and the same letters on every machine
}
CURVE_POINTS = 400  # a longer training curve is averaged down to so many
COST_NAMES = {"macs": "MACs", "params": "Parameters"}
SEARCHED_COSTS = {**COST_NAMES, "latency": "Latency"}

P = ParamSpec("P")


def drawn(figure: Callable[P, Figure]) -> Callable[P, bytes]:
    """Draw in the report's style and return the figure as SVG."""

    @wraps(figure)
    def draw(*args: P.args, **kwargs: P.kwargs) -> bytes:
        buffer = io.BytesIO()
        with matplotlib.rc_context(STYLE):
            figure(*args, **kwargs).savefig(buffer, format="svg", metadata={"Date": None})
        return buffer.getvalue()

    return draw


@dataclass(frozen=True)
class Look:
    """How a network is drawn, in every figure the same."""

    label: str
    colour: str
    marker: str
    width: float
    dashes: str = "-"

    @property
    def marks(self) -> dict[str, Any]:
        """Arguments of a single point."""
        size = 15 if self.marker == "*" else 8
        edges = {"markeredgecolor": "white", "markeredgewidth": 0.8}
        return {"color": self.colour, "marker": self.marker, "markersize": size, **edges}


def looks(networks: Sequence[Network]) -> dict[str, Look]:
    """A look for each network by name; those of a kind that has many share theirs."""
    chosen, baselines = {}, 0
    counts = {kind: sum(n.kind == kind for n in networks) for kind in ("random", "uniform")}
    for network in networks:
        name, kind = network.name, network.kind
        if kind == "searched":
            chosen[name] = Look(name, VERMILLION, "*", 2.6)
        elif kind in counts:
            colour, marker = (GREY, "o") if kind == "random" else (DARK, "^")
            dashes = "-" if kind == "random" else ":"
            chosen[name] = Look(f"{kind} ({counts[kind]})", colour, marker, 1.2, dashes)
        else:
            turn, hue = divmod(baselines, len(BASELINES))
            baselines += 1
            marker, dashes = ("sDPXv"[turn % 5], ("-", "--", "-.", ":")[turn % 4])
            chosen[name] = Look(name, BASELINES[hue], marker, 2.0, dashes)
    return chosen


@drawn
def search_progress(entries: Sequence[Entry], objective: str, label: str) -> Figure:
    """Score of every architecture over the generations, their median, and the best so far."""
    figure, axes = _panels(1)
    numbers = sorted({entry.generation for entry in entries})
    scores = [[e.values[objective] for e in entries if e.generation == n] for n in numbers]
    for number, values in zip(numbers, scores, strict=True):
        # In the order they were bred, side by side instead of on top of each other.
        spots = number + np.linspace(-0.3, 0.3, len(values)) * (len(values) > 1)
        axes[0].plot(spots, values, "o", color=SKY, markersize=5, alpha=0.7, zorder=2)
    medians = [float(np.median(values)) for values in scores]
    best = np.maximum.accumulate([max(values) for values in scores])
    axes[0].plot([], [], "o", color=SKY, label="architecture")
    axes[0].plot(numbers, medians, "s--", color=BLACK, label="median of the generation")
    axes[0].plot(numbers, best, "*-", color=VERMILLION, markersize=12, label="best so far")
    axes[0].set_xlabel("Generation (0: random)")
    axes[0].set_ylabel(label)
    axes[0].set_xticks(numbers[:: len(numbers) // 20 + 1])
    axes[0].set_xlim(numbers[0] - 0.5, numbers[-1] + 0.5)
    _legend(figure, axes)
    return figure


@drawn
def search_scatter(
    entries: Sequence[Entry],
    front: Sequence[Entry],
    objective: str,
    label: str,
    limits: Mapping[str, float],
) -> Figure:
    """Score against what every scored architecture costs; the front stands out."""
    costs_known = [name for name in SEARCHED_COSTS if all(name in e.values for e in entries)]
    figure, axes = _panels(len(costs_known))
    best = max(entries, key=lambda e: (e.values[objective], -e.values["macs"], -e.values["params"]))
    series: tuple[tuple[Sequence[Entry], dict[str, Any], str], ...] = (
        (entries, {"marker": "o", "color": GREY, "markersize": 5}, "scored"),
        (front, {"marker": "o", "color": BLUE, "markersize": 7}, "not beaten (Pareto front)"),
        ([best], {"marker": "*", "color": VERMILLION, "markersize": 16}, "best"),
    )
    for panel, cost in zip(axes, costs_known, strict=True):
        unit = _cost_axis(panel, cost, [e.values[cost] for e in entries], limits.get(cost))
        for group, marks, name in series:
            costs = [e.values[cost] / unit for e in group]
            values = [e.values[objective] for e in group]
            panel.plot(costs, values, linestyle="", markeredgecolor="white", label=name, **marks)
    axes[0].set_ylabel(label)
    _legend(figure, axes)
    return figure


@drawn
def choices_over_time(generations: Sequence[Mapping[str, Any]]) -> Figure:
    """For each layer with a choice, the share of each choice in each generation, as a heat map."""
    layers = list(zip(*(line["frequencies"] for line in generations), strict=True))
    free = [(number, shares) for number, shares in enumerate(layers) if len(shares[0]) > 1]
    columns = min(len(free), 4)
    rows = -(-len(free) // columns)
    figure = Figure(figsize=(9.0, 0.8 + 2.0 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True).ravel()
    for panel, (number, shares) in zip(axes, free, strict=False):
        image = panel.imshow(np.array(shares).T, vmin=0, vmax=1, cmap="cividis", aspect="auto")
        panel.set_title(f"layer {number}", fontsize=10)
        panel.set_yticks(range(len(shares[0])))
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.grid(False)
    for panel in axes[len(free) :]:
        panel.axis("off")
    figure.supxlabel("Generation (0: random)", fontsize=11)
    figure.supylabel("Choice", fontsize=11)
    figure.colorbar(image, ax=axes, label="Share of the generation")
    return figure


@drawn
def covered(generations: Sequence[Mapping[str, Any]]) -> Figure:
    """Hypervolume of all that is scored, over the generations."""
    figure, axes = _panels(1)
    numbers = [line["generation"] for line in generations]
    values = [line["hypervolume"] for line in generations]
    axes[0].plot(numbers, values, "o-", color=BLUE)
    axes[0].set_xlabel("Generation (0: random)")
    axes[0].set_ylabel("Hypervolume (share)")
    axes[0].xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


@drawn
def accuracy_and_cost(
    networks: Sequence[Network],
    looks: Mapping[str, Look],
    rate: str,
    label: str,
    limits: Mapping[str, float],
) -> Figure:
    """Rate against MACs and params of the final networks, bars from worst to best seed."""
    figure, axes = _panels(2)
    seeds_key = "seeds_map" if rate.startswith("map") else "seeds"
    for panel, cost in zip(axes, COST_NAMES, strict=True):
        unit = _cost_axis(panel, cost, [n.values[cost] for n in networks], limits.get(cost))
        stairs = minima((n.values[cost] / unit, -n.values[rate]) for n in networks)
        costs, rates = [x for x, _ in stairs], [-y for _, y in stairs]
        panel.step(costs, rates, where="post", color=GREY, linestyle="--", zorder=1)
        for network in sorted(networks, key=_importance):
            look, x = looks[network.name], network.values[cost] / unit
            seeds = [s for s in network.values.get(seeds_key) or () if s is not None]
            if len(seeds) > 1:
                panel.vlines(x, min(seeds), max(seeds), color=look.colour, linewidth=1.2)
            panel.plot(x, network.values[rate], linestyle="", label=look.label, **look.marks)
    axes[0].set_ylabel(label)
    _legend(figure, axes)
    return figure


@drawn
def cmc_curves(networks: Sequence[Network], looks: Mapping[str, Look]) -> Figure:
    """Share of probes matched within each rank, mean over seeds."""
    figure, axes = _panels(1)
    for network in sorted((n for n in networks if n.cmc), key=_importance):
        look = looks[network.name]
        ranks = range(1, len(network.cmc) + 1)
        line: dict[str, Any] = {
            "color": look.colour,
            "linewidth": look.width,
            "linestyle": look.dashes,
        }
        axes[0].plot(ranks, network.cmc, label=look.label, **line)
    axes[0].set_xticks([1, 5, 10, 15, 20])
    axes[0].set_xlabel("Rank")
    axes[0].set_ylabel("Probes matched within rank (%)")
    _legend(figure, axes)
    return figure


@drawn
def training_curves(
    supernet: Metrics, networks: Sequence[Network], looks: Mapping[str, Look]
) -> Figure:
    """Loss over the steps: the supernet's, and that of each seed of each final network."""
    trained = [n for n in sorted(networks, key=_importance) if any(n.curves)]
    figure, axes = _panels(bool(supernet) + bool(trained), share=False)
    if supernet:
        axes[0].plot(*_curve(supernet), color=BLACK, linewidth=1.4, label="supernet")
        axes[0].set_title("Supernet", fontsize=11)
    for network in trained:
        look = looks[network.name]
        for metrics in network.curves:
            line: dict[str, Any] = {
                "color": look.colour,
                "linewidth": look.width / 2,
                "linestyle": look.dashes,
            }
            axes[-1].plot(*_curve(metrics), label=look.label, alpha=0.8, **line)
    if trained:
        axes[-1].set_title("Final networks", fontsize=11)
        _legend(figure, axes[-1:])
    for panel in axes:
        panel.set_xlabel("Step")
    axes[0].set_ylabel("Training loss")
    return figure


@drawn
def agreement(
    table: Sequence[Mapping[str, Any]],
    networks: Sequence[Network],
    looks: Mapping[str, Look],
    name: str,
) -> Figure:
    """Retrained rate of architectures against the score that the supernet gave them."""
    figure, axes = _panels(1)
    kinds = {network.built: network.name for network in networks if network.kind != "searched"}
    for row in table:
        look = looks.get(kinds.get(row["arch"], ""), Look("architecture", DARK, "o", 1.0))
        point = (row["supernet"], row["retrained"])
        axes[0].plot(*point, linestyle="", label=look.label, **look.marks)
    axes[0].set_xlabel(f"{name} with the supernet's weights, search-val identities (%)")
    axes[0].set_ylabel(f"{name} retrained, test identities (%)")
    _legend(figure, axes)
    return figure


def _panels(number: int, share: bool = True) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(9.0, 4.4), layout="constrained")
    return figure, list(figure.subplots(1, number, squeeze=False, sharey=share)[0])


def _legend(figure: Figure, axes: Iterable[Axes]) -> None:
    """One legend below the panels, clear of all data: each label once, what lies on top first."""
    handles: dict[str, Any] = {}
    for panel in axes:
        handles.update(zip(*panel.get_legend_handles_labels()[::-1], strict=True))
    labels = list(handles)[::-1]
    lines = [handles[label] for label in labels]
    figure.legend(lines, labels, loc="outside lower center", ncols=min(5, len(labels)))


def _cost_axis(panel: Axes, cost: str, values: Sequence[float], limit: float | None) -> float:
    """Label the cost axis and mark the budget's limit; returns the unit of the axis."""
    largest = max(values)
    unit, letter = next(
        ((u, s) for u, s in ((1e9, "G"), (1e6, "M"), (1e3, "K")) if largest >= u), (1.0, "")
    )
    if cost == "latency":
        unit, letter = 1e-3, "ms"
    name = SEARCHED_COSTS[cost]
    panel.set_xlabel(f"{name} ({letter})" if letter else name)
    panel.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
    if limit is not None:
        panel.axvline(limit / unit, color=BLACK, linestyle=":", linewidth=1.4, label="budget")
    return unit


def _importance(network: Network) -> int:
    """What is drawn later lies on top: searched over baselines over the rest."""
    return {"random": 0, "uniform": 0, "searched": 2}.get(network.kind, 1)


def _curve(metrics: Metrics) -> tuple[np.ndarray, np.ndarray]:
    """Steps and losses, averaged over neighbours when there are very many."""
    rows = [(row["step"], row["loss"]) for row in metrics if row.get("loss") is not None]
    data = np.array(rows, dtype=float).reshape(-1, 2)
    parts = np.array_split(data, min(len(data), CURVE_POINTS) or 1)
    means = np.array([part.mean(0) for part in parts if len(part)]).reshape(-1, 2)
    return means[:, 0], means[:, 1]
