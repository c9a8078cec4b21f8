"""Figures of the final networks: plain data in, SVG out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from nasgait.report.rundir import Metrics, Network
from nasgait.report.style import (
    BASELINE_COLOURS,
    BLACK,
    DARK,
    GREY,
    VERMILLION,
    as_svg,
    cost_axis,
    legend,
    panels,
)
from nasgait.search.pareto import minima

CURVE_POINTS = 400
"""Longer training curves are averaged down to this many points."""


@dataclass(frozen=True)
class Look:
    """How a network is drawn, the same in every figure."""

    label: str
    colour: str
    marker: str
    width: float
    dashes: str = "-"

    @property
    def marks(self) -> dict[str, Any]:
        """Keyword arguments of ``plot`` for a single point."""
        size = 15 if self.marker == "*" else 8
        edges = {"markeredgecolor": "white", "markeredgewidth": 0.8}
        return {"color": self.colour, "marker": self.marker, "markersize": size, **edges}

    @property
    def line(self) -> dict[str, Any]:
        """Keyword arguments of ``plot`` for a line."""
        return {"color": self.colour, "linewidth": self.width, "linestyle": self.dashes}


def looks(networks: Sequence[Network]) -> dict[str, Look]:
    """A look for each network by name; all random ones share one, so do all uniform ones."""
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
            turn, hue = divmod(baselines, len(BASELINE_COLOURS))
            baselines += 1
            marker, dashes = ("sDPXv"[turn % 5], ("-", "--", "-.", ":")[turn % 4])
            chosen[name] = Look(name, BASELINE_COLOURS[hue], marker, 2.0, dashes)
    return chosen


@as_svg
def accuracy_and_cost(
    networks: Sequence[Network],
    looks: Mapping[str, Look],
    metric: str,
    label: str,
    limits: Mapping[str, float],
) -> Figure:
    """Metric against MACs and params, with bars from the worst to the best seed."""
    figure, axes = panels(2)
    seeds_key = "seeds_map" if metric.startswith("map") else "seeds"
    for panel, cost in zip(axes, ("macs", "params"), strict=True):
        unit = cost_axis(panel, cost, [n.values[cost] for n in networks], limits.get(cost))
        stairs = minima((n.values[cost] / unit, -n.values[metric]) for n in networks)
        costs, values = [x for x, _ in stairs], [-y for _, y in stairs]
        panel.step(costs, values, where="post", color=GREY, linestyle="--", zorder=1)
        for network in sorted(networks, key=_drawing_order):
            look, x = looks[network.name], network.values[cost] / unit
            seeds = [s for s in network.values.get(seeds_key) or () if s is not None]
            if len(seeds) > 1:
                panel.vlines(x, min(seeds), max(seeds), color=look.colour, linewidth=1.2)
            panel.plot(x, network.values[metric], linestyle="", label=look.label, **look.marks)
    axes[0].set_ylabel(label)
    legend(figure, axes)
    return figure


@as_svg
def cmc_curves(networks: Sequence[Network], looks: Mapping[str, Look]) -> Figure:
    """CMC: share of probes matched within each rank, mean over seeds."""
    figure, axes = panels(1)
    for network in sorted((n for n in networks if n.cmc), key=_drawing_order):
        look = looks[network.name]
        ranks = range(1, len(network.cmc) + 1)
        axes[0].plot(ranks, network.cmc, label=look.label, **look.line)
    axes[0].set_xticks([1, 5, 10, 15, 20])
    axes[0].set_xlabel("Rank")
    axes[0].set_ylabel("Probes matched within rank (%)")
    legend(figure, axes)
    return figure


@as_svg
def training_curves(
    supernet: Metrics, networks: Sequence[Network], looks: Mapping[str, Look]
) -> Figure:
    """Training loss by step: the supernet's, and that of every seed of every final network."""
    trained = [n for n in sorted(networks, key=_drawing_order) if any(n.curves)]
    figure, axes = panels(bool(supernet) + bool(trained), share=False)
    if supernet:
        axes[0].plot(*_curve(supernet), color=BLACK, linewidth=1.4, label="supernet")
        axes[0].set_title("Supernet", fontsize=11)
    for network in trained:
        look = looks[network.name]
        for metrics in network.curves:
            line = {**look.line, "linewidth": look.width / 2}
            axes[-1].plot(*_curve(metrics), label=look.label, alpha=0.8, **line)
    if trained:
        axes[-1].set_title("Final networks", fontsize=11)
        legend(figure, axes[-1:])
    for panel in axes:
        panel.set_xlabel("Step")
    axes[0].set_ylabel("Training loss")
    return figure


@as_svg
def agreement(
    table: Sequence[Mapping[str, Any]],
    networks: Sequence[Network],
    looks: Mapping[str, Look],
    name: str,
) -> Figure:
    """Architectures' metric when retrained against their score with the supernet's weights."""
    figure, axes = panels(1)
    kinds = {network.design: network.name for network in networks if network.kind != "searched"}
    for row in table:
        look = looks.get(kinds.get(row["arch"], ""), Look("architecture", DARK, "o", 1.0))
        point = (row["supernet"], row["retrained"])
        axes[0].plot(*point, linestyle="", label=look.label, **look.marks)
    axes[0].set_xlabel(f"{name} with the supernet's weights, search-val identities (%)")
    axes[0].set_ylabel(f"{name} retrained, test identities (%)")
    legend(figure, axes)
    return figure


def _drawing_order(network: Network) -> int:
    """Draw the searched network last, on top; before it the baselines, first the others."""
    return {"random": 0, "uniform": 0, "searched": 2}.get(network.kind, 1)


def _curve(metrics: Metrics) -> tuple[np.ndarray, np.ndarray]:
    """Steps and losses, averaged over neighbours where there are very many."""
    rows = [(row["step"], row["loss"]) for row in metrics if row.get("loss") is not None]
    data = np.array(rows, dtype=float).reshape(-1, 2)
    chunks = np.array_split(data, min(len(data), CURVE_POINTS) or 1)
    means = np.array([chunk.mean(0) for chunk in chunks if len(chunk)]).reshape(-1, 2)
    return means[:, 0], means[:, 1]
