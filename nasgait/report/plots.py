"""The report's figures of final networks: plain data in, SVG out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from nasgait.report.rundir import Metrics, Network
from nasgait.report.style import (
    BASELINES,
    BLACK,
    DARK,
    GREY,
    VERMILLION,
    cost_axis,
    drawn,
    legend,
    panels,
)
from nasgait.search.pareto import minima

CURVE_POINTS = 400  # a longer training curve is averaged down to so many
COSTS = ("macs", "params")


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
def accuracy_and_cost(
    networks: Sequence[Network],
    looks: Mapping[str, Look],
    rate: str,
    label: str,
    limits: Mapping[str, float],
) -> Figure:
    """Rate against MACs and params of the final networks, bars from worst to best seed."""
    figure, axes = panels(2)
    seeds_key = "seeds_map" if rate.startswith("map") else "seeds"
    for panel, cost in zip(axes, COSTS, strict=True):
        unit = cost_axis(panel, cost, [n.values[cost] for n in networks], limits.get(cost))
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
    legend(figure, axes)
    return figure


@drawn
def cmc_curves(networks: Sequence[Network], looks: Mapping[str, Look]) -> Figure:
    """Share of probes matched within each rank, mean over seeds."""
    figure, axes = panels(1)
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
    legend(figure, axes)
    return figure


@drawn
def training_curves(
    supernet: Metrics, networks: Sequence[Network], looks: Mapping[str, Look]
) -> Figure:
    """Loss over the steps: the supernet's, and that of each seed of each final network."""
    trained = [n for n in sorted(networks, key=_importance) if any(n.curves)]
    figure, axes = panels(bool(supernet) + bool(trained), share=False)
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
        legend(figure, axes[-1:])
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
    figure, axes = panels(1)
    kinds = {network.built: network.name for network in networks if network.kind != "searched"}
    for row in table:
        look = looks.get(kinds.get(row["arch"], ""), Look("architecture", DARK, "o", 1.0))
        point = (row["supernet"], row["retrained"])
        axes[0].plot(*point, linestyle="", label=look.label, **look.marks)
    axes[0].set_xlabel(f"{name} with the supernet's weights, search-val identities (%)")
    axes[0].set_ylabel(f"{name} retrained, test identities (%)")
    legend(figure, axes)
    return figure


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
