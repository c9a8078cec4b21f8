"""The result page: one HTML file that needs no other file."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path

import jinja2

from nasgait.core.files import write_atomically
from nasgait.report import description, formatting
from nasgait.report.pictures import inline, pictures
from nasgait.report.rundir import FILES, Network, RunDir, read_run


@dataclass(frozen=True)
class Cell:
    """A number in the table."""

    text: str
    note: str | None = None
    """Small print below it."""
    best: bool = False
    """Whether it is the best of its column."""


def write_report(run_dir: str | Path) -> Path:
    """Write ``report/index.html`` of a run directory, complete or unfinished.

    The page names the files that the run has not written yet.

    Raises:
        DataError: the directory has no file of a run, or a file is broken.
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
    names = description.METRIC_NAMES
    return environment.from_string(template).render(
        title=run.setting("name") or run.path.name,
        headline=list(headline(run)),
        facts=list(facts(run)),
        metrics=[names[key.removesuffix("_local")] for key in run.shown_metrics],
        rows=rows(run),
        best=run.best,
        table_note=table_note(run),
        study=run.results.get("study"),
        pictures=list(pictures(run)),
        sheet=inline("png", run.sheet) if run.sheet else None,
        config=run.config_text,
        missing=[(name, FILES[name]) for name in run.missing],
        version=metadata.version("nasgait"),
    )


def headline(run: RunDir) -> Iterator[str]:
    """A sentence each for the run's own network and the best hand-designed one."""
    own = [network for network in run.networks if network.name == run.best]
    hand = [network for network in run.networks if network.kind == "baseline"]
    hand.sort(key=lambda network: -(network.values.get(run.ranking_metric) or 0))
    # The best of a run without a search is hand-designed itself: one sentence is enough.
    shown = own if any(network.kind == "baseline" for network in own) else own + hand[:1]
    rank1, mean_precision = run.shown_metrics
    for network in shown:
        role = {"searched": "Searched", "baseline": "Best hand-designed"}.get(network.kind, "Best")
        values = network.values
        # Several networks may be one model with different settings: only their names differ.
        title = network.name if network.kind == "baseline" else network.design or network.name
        yield (
            f"{role} network {title}: "
            f"rank-1 {formatting.percent(values.get(rank1))} %, "
            f"mAP {formatting.percent(values.get(mean_precision))} %, "
            f"{formatting.amount(values.get('macs'))} MACs, "
            f"{formatting.amount(values.get('params'))} params."
        )


def facts(run: RunDir) -> Iterator[tuple[str, str]]:
    """The run at a glance, in pairs of name and value."""
    if run.has_search:
        yield "Search space", str(run.setting("space") or formatting.UNKNOWN)
        yield "Budget", description.budget(run)
    if run.supernet:
        last = run.supernet[-1]
        took = f" in {formatting.duration(last['seconds'])}" if last.get("seconds") else ""
        yield "Supernet", f"{last['step']:,.0f} steps{took}"
    if run.ledger:
        scored = formatting.count(len(run.ledger), "architecture")
        generations = len({entry.generation for entry in run.ledger})
        took = formatting.duration(sum(entry.seconds for entry in run.ledger))
        bred = formatting.count(generations, "generation")
        yield "Search", f"{scored} scored in {bred}, {took}"
    if run.networks:
        seeds = most_seeds(run)
        each = f", {formatting.count(seeds, 'seed')} each" if seeds else ""
        yield "Final networks", f"{len(run.networks)}{each}"


def rows(run: RunDir) -> list[tuple[Network, list[Cell]]]:
    """The networks with their cells of the table, best first."""
    best = {
        key: max((network.values.get(key) or 0 for network in run.networks), default=0)
        for key in run.shown_metrics
    }
    order = sorted(run.shown_metrics, key=lambda key: key != run.ranking_metric)
    table = []
    for network in sorted(run.networks, key=lambda n: [-(n.values.get(key) or 0) for key in order]):
        values, cells = network.values, []
        for key, seeds in zip(run.shown_metrics, ("seeds", "seeds_map"), strict=True):
            value, note = values.get(key), formatting.seed_range(values.get(seeds))
            cells.append(Cell(formatting.percent(value), note, value == best[key]))
        for cost in ("macs", "params"):
            over = (values.get(cost) or 0) > run.limits.get(cost, math.inf)
            note = "over budget" if over else None
            cells.append(Cell(formatting.amount(values.get(cost)), note))
        took = formatting.duration(values.get("train_seconds"))
        table.append((network, [*cells, Cell(formatting.input_shape(values)), Cell(took)]))
    return table


def table_note(run: RunDir) -> str:
    """How the numbers of the table were measured."""
    means = "Metrics and train time are means over the seeds, with the range of the seeds below. "
    return (
        f"{means if most_seeds(run) > 1 else ''}Metrics in percent, {description.evaluation(run)}. "
        f"{description.macs_input(run.networks)}, "
        "multiply-accumulates of convolutions and matrix products; params are those of the "
        "embedding network; both without neck and classifier. Bold: the highest value of a metric."
    )


def most_seeds(run: RunDir) -> int:
    """The largest number of seeds that a final network has."""
    return max((len(network.values.get("seeds") or ()) for network in run.networks), default=0)
