"""Figures of the search: progress, score and cost, hypervolume, choices."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from nasgait.report.style import (
    BLACK,
    BLUE,
    COST_LABELS,
    GREY,
    SKY,
    VERMILLION,
    as_svg,
    cost_axis,
    legend,
    panels,
)
from nasgait.search.ledger import LedgerEntry


@as_svg
def search_progress(entries: Sequence[LedgerEntry], objective: str, label: str) -> Figure:
    """Score of every architecture by generation, with the median and the best so far."""
    figure, axes = panels(1)
    numbers = sorted({entry.generation for entry in entries})
    scores = [[e.values[objective] for e in entries if e.generation == n] for n in numbers]
    for number, values in zip(numbers, scores, strict=True):
        # Side by side, in the order of the ledger.
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
    legend(figure, axes)
    return figure


@as_svg
def search_scatter(
    entries: Sequence[LedgerEntry],
    front: Sequence[LedgerEntry],
    objective: str,
    label: str,
    limits: Mapping[str, float],
) -> Figure:
    """Score against cost of every scored architecture; the Pareto front stands out."""
    costs_known = [name for name in COST_LABELS if all(name in e.values for e in entries)]
    figure, axes = panels(len(costs_known))
    best = max(entries, key=lambda e: (e.values[objective], -e.values["macs"], -e.values["params"]))
    series: tuple[tuple[Sequence[LedgerEntry], dict[str, Any], str], ...] = (
        (entries, {"marker": "o", "color": GREY, "markersize": 5}, "scored"),
        (front, {"marker": "o", "color": BLUE, "markersize": 7}, "Pareto front"),
        ([best], {"marker": "*", "color": VERMILLION, "markersize": 16}, "best"),
    )
    for panel, cost in zip(axes, costs_known, strict=True):
        unit = cost_axis(panel, cost, [e.values[cost] for e in entries], limits.get(cost))
        for group, marks, name in series:
            costs = [e.values[cost] / unit for e in group]
            values = [e.values[objective] for e in group]
            panel.plot(costs, values, linestyle="", markeredgecolor="white", label=name, **marks)
    axes[0].set_ylabel(label)
    legend(figure, axes)
    return figure


@as_svg
def choices_over_time(generations: Sequence[Mapping[str, Any]]) -> Figure:
    """Heat map for each layer with a choice: the share of each choice in each generation."""
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


@as_svg
def hypervolume(generations: Sequence[Mapping[str, Any]]) -> Figure:
    """Hypervolume of all scored architectures, by generation."""
    figure, axes = panels(1)
    numbers = [line["generation"] for line in generations]
    values = [line["hypervolume"] for line in generations]
    axes[0].plot(numbers, values, "o-", color=BLUE)
    axes[0].set_xlabel("Generation (0: random)")
    axes[0].set_ylabel("Hypervolume (share)")
    axes[0].xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure
