"""The result page: one HTML file that needs nothing beside it."""

import base64
import math
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import jinja2

from nasgait.core.files import write_atomically
from nasgait.report import formatting, plots, search_plots
from nasgait.report.rundir import PARTS, Network, RunDir, read_run
from nasgait.search.pareto import pareto


@dataclass(frozen=True)
class Picture:
    """A figure of the page."""

    title: str
    uri: str
    """The image itself, as a data URI."""
    caption: str
    """What it shows and how it was measured."""


@dataclass(frozen=True)
class Row:
    """A network in the table; every cell as printed."""

    name: str
    kind: str
    built: str
    best: bool
    cells: tuple[tuple[str, str | None, bool], ...]
    """Text, what stands in small print below it, and whether it is the column's best."""


def write_report(run_dir: str | Path) -> Path:
    """Write ``report/index.html`` of a run directory, whole or unfinished.

    What the run has not made yet is left out and named on the page.

    Raises:
        DataError: nothing of a run is there, or a file of it is broken.
    """
    run = read_run(run_dir)
    page = run.path / "report" / "index.html"
    page.parent.mkdir(exist_ok=True)
    write_atomically(page, render(run))
    return page


def render(run: RunDir) -> str:
    """The page as HTML."""
    template = resources.files("nasgait.report").joinpath("page.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    rate = shown_rates(run)
    return environment.from_string(template).render(
        title=run.setting("name") or run.path.name,
        headline=list(headline(run, rate)),
        facts=facts(run),
        rates=[formatting.RATE_NAMES[name.removesuffix("_local")] for name in rate],
        rows=rows(run, rate),
        table_note=table_note(run),
        study=run.results.get("study"),
        pictures=list(pictures(run, rate)),
        sheet=inline("png", run.sheet) if run.sheet else None,
        config=run.config_text,
        missing=[(name, PARTS[name]) for name in run.missing],
        version=metadata.version("nasgait"),
    )


def shown_rates(run: RunDir) -> tuple[str, str]:
    """The keys of rank-1 and mAP: GREW without labels for its probes has local ones only."""
    known = any(network.values.get("rank1") is not None for network in run.networks)
    return ("rank1", "map") if known or not run.networks else ("rank1_local", "map_local")


def headline(run: RunDir, rate: tuple[str, str]) -> Iterator[str]:
    """The run's own network and the best hand-designed one, a sentence each."""
    own = [network for network in run.networks if network.name == run.best]
    hand = [network for network in run.networks if network.kind == "baseline"]
    key = rate[0] if formatting.objective(run) == "rank1" else rate[1]
    hand.sort(key=lambda network: -(network.values.get(key) or 0))
    # A run without a search stands for a hand-designed network itself: one sentence is enough.
    shown = own if any(network.kind == "baseline" for network in own) else own + hand[:1]
    for network in shown:
        role = {"searched": "Searched", "baseline": "Best hand-designed"}.get(network.kind, "Best")
        values = network.values
        # Several networks may be one model with different settings: their names tell them apart.
        title = network.name if network.kind == "baseline" else network.built or network.name
        yield (
            f"{role} network {title}: "
            f"rank-1 {formatting.percent(values.get(rate[0]))} %, "
            f"mAP {formatting.percent(values.get(rate[1]))} %, "
            f"{formatting.amount(values.get('macs'))} MACs, "
            f"{formatting.amount(values.get('params'))} params."
        )


def facts(run: RunDir) -> list[tuple[str, str]]:
    """What the run was, in pairs of name and value."""
    found: list[tuple[str, str]] = []
    if run.searches:
        found.append(("Search space", str(run.setting("space") or formatting.NONE)))
        found.append(("Budget", formatting.budget(run)))
    if run.supernet:
        last = run.supernet[-1]
        took = f" in {formatting.duration(last['seconds'])}" if last.get("seconds") else ""
        found.append(("Supernet", f"{last['step']:,.0f} steps{took}"))
    if run.ledger:
        generations = len({entry.generation for entry in run.ledger})
        seconds = sum(entry.seconds for entry in run.ledger)
        found.append(
            (
                "Search",
                f"{formatting.count(len(run.ledger), 'architecture')} scored in "
                f"{formatting.count(generations, 'generation')}, {formatting.duration(seconds)}",
            )
        )
    if run.networks:
        seeds = max(len(network.values.get("seeds") or ()) for network in run.networks)
        found.append(
            (
                "Final networks",
                f"{len(run.networks)}"
                + (f", {formatting.count(seeds, 'seed')} each" if seeds else ""),
            )
        )
    return found


def rows(run: RunDir, rate: tuple[str, str]) -> list[Row]:
    """The table, best first."""
    order = rate if formatting.objective(run) == "rank1" else rate[::-1]

    def rank(network: Network) -> list[float]:
        return [-(network.values.get(key) or 0) for key in order]

    top = {key: max((n.values.get(key) or 0 for n in run.networks), default=0) for key in rate}
    limits, table = formatting.limits_of(run), []
    for network in sorted(run.networks, key=rank):
        values = network.values
        seeds = dict(zip(rate, (values.get("seeds"), values.get("seeds_map")), strict=True))
        cells: list[tuple[str, str | None, bool]] = [
            (
                formatting.percent(values.get(k)),
                formatting.spread(seeds[k]),
                values.get(k) == top[k],
            )
            for k in rate
        ]
        for cost in ("macs", "params"):
            over = (values.get(cost) or 0) > limits.get(cost, math.inf)
            cells.append(
                (formatting.amount(values.get(cost)), "over budget" if over else None, False)
            )
        plain = formatting.shape(values), formatting.duration(values.get("train_seconds"))
        cells += [(text, None, False) for text in plain]
        table.append(
            Row(network.name, network.kind, network.built, network.name == run.best, tuple(cells))
        )
    return table


def table_note(run: RunDir) -> str:
    """How the table was measured."""
    seeds = max((len(n.values.get("seeds") or ()) for n in run.networks), default=0)
    over = "Rates and train time are means over the seeds; " if seeds > 1 else ""
    small = "the range of the seeds stands below. " if seeds > 1 else ""
    return (
        f"{over}{small}Rates in percent, {formatting.judged(run)}. "
        f"{formatting.costed(run.networks)}, "
        "multiply-accumulates of convolutions and matrix products; params are those of the "
        "embedding network; both without neck and classifier. Bold: the highest of the column."
    )


def pictures(run: RunDir, rate: tuple[str, str]) -> Iterator[Picture]:
    """Every figure whose data is there."""
    looks = plots.looks(run.networks)
    yield from _comparison(run, rate, looks)
    yield from _search(run)
    if run.rank and run.rank.get("table"):
        yield _agreement(run, run.rank, looks)
    if run.supernet or any(any(network.curves) for network in run.networks):
        yield Picture(
            "Training",
            inline("svg+xml", plots.training_curves(run.supernet, run.networks, looks)),
            "Training loss as logged, each seed of a final network a line of its own. The "
            "supernet's loss changes with the path drawn at each step. Losses compare only "
            "between networks trained with the same loss terms and weights.",
        )


def _comparison(run: RunDir, rate: tuple[str, str], looks: dict) -> Iterator[Picture]:
    """Final networks: accuracy against cost, and CMC."""
    key = rate[0] if formatting.objective(run) == "rank1" else rate[1]
    name = formatting.RATE_NAMES[key.removesuffix("_local")]
    needed = (key, "macs", "params")
    complete = [n for n in run.networks if all(n.values.get(k) is not None for k in needed)]
    if complete:
        limits = formatting.limits_of(run)
        several = any(len(network.values.get("seeds") or ()) > 1 for network in complete)
        bars = "means over seeds, bars from the worst to the best seed; " if several else ""
        svg = plots.accuracy_and_cost(complete, looks, key, f"Test {name} (%)", limits)
        yield Picture(
            "Accuracy and cost of the final networks",
            inline("svg+xml", svg),
            f"Test {name} of every trained network against its MACs (left) and its params "
            f"(right): {bars}the dashed steps join networks that no cheaper one equals. "
            f"Measured {formatting.judged(run)}. {formatting.costed(complete)}.",
        )
    if any(network.cmc for network in run.networks):
        yield Picture(
            "Cumulative match characteristic",
            inline("svg+xml", plots.cmc_curves(run.networks, looks)),
            "Share of probes whose identity is among the nearest gallery sequences up to each "
            f"rank, mean over seeds. Measured {formatting.judged(run)}.",
        )


def _search(run: RunDir) -> Iterator[Picture]:
    """The search: progress and Pareto scatter."""
    if not run.ledger:
        return
    key, name = formatting.objective(run), formatting.RATE_NAMES[formatting.objective(run)]
    label = f"Search-val {name} (%)"
    yield Picture(
        "Search progress",
        inline("svg+xml", search_plots.search_progress(run.ledger, key, label)),
        f"Every architecture scored, by the generation it was bred in. The score is {name}: "
        f"{formatting.scored(run)}. It ranks architectures and is not comparable with test rates."
        f"{formatting.ended_early(run)}",
    )
    limits = formatting.limits_of(run)
    front = pareto(run.ledger, *formatting.objectives(run)) if run.front is None else run.front
    svg = search_plots.search_scatter(run.ledger, front, key, label, limits)
    frames = run.setting("search", "frames")
    timed = all("latency" in entry.values for entry in run.ledger)
    at = f"for {frames} frames" if frames else "for the space's own number of frames"
    yield Picture(
        "Search: score and cost",
        inline("svg+xml", svg),
        f"The same scores against MACs of one sequence (left, counted {at}) and params"
        f"{', and latency as measured where it was searched' if timed else ''} (right). "
        f"Blue architectures are beaten by none in {formatting.goals(run)} together. "
        f"Budget: {formatting.budget(run)}.",
    )
    yield from _generations(run)


def _generations(run: RunDir) -> Iterator[Picture]:
    """The generations: what they cover, which choices they take."""
    if run.generations and all("hypervolume" in line for line in run.generations):
        yield Picture(
            "Search: what is covered",
            inline("svg+xml", search_plots.covered(run.generations)),
            "Hypervolume of all architectures scored so far in "
            f"{formatting.goals(run)}, as a share of "
            "what lies between no rate at the budget's limits (the largest costs of the space "
            "where there is none) and 100 % at no cost.",
        )
    if any(len(layer) > 1 for line in run.generations for layer in line["frequencies"]):
        yield Picture(
            "Search: which choices are taken",
            inline("svg+xml", search_plots.choices_over_time(run.generations)),
            "For each layer with a choice, the share of each generation's architectures that take "
            "it.",
        )


def _agreement(run: RunDir, rank: dict[str, Any], looks: dict) -> Picture:
    """Supernet scores against retrained rates."""
    name = formatting.RATE_NAMES.get(rank.get("objective", ""), "rate")
    measured = ", ".join(
        f"{title} {rank[key]['value']:+.2f} (95 % interval {rank[key]['low']:+.2f} to "
        f"{rank[key]['high']:+.2f})"
        for key, title in (("spearman", "Spearman"), ("kendall", "Kendall"))
        if isinstance(rank.get(key), dict)
    )
    return Picture(
        "Does the supernet rank architectures rightly?",
        inline("svg+xml", plots.agreement(rank["table"], run.networks, looks, name)),
        f"Architectures that the search did not choose: {name} with the supernet's weights "
        f"against {name} once trained by itself. Rank correlation: {measured}; "
        "intervals by bootstrap over the architectures.",
    )


def inline(kind: str, image: bytes) -> str:
    """An image as a data URI."""
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"
