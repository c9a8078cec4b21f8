"""The result page: one HTML file that needs no other file."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import jinja2

from nasgait.core.files import write_atomically
from nasgait.report import description, formatting
from nasgait.report.pictures import inline, pictures
from nasgait.report.results import budget_macs, matched_key
from nasgait.report.rundir import FILES, Network, RunDir, read_run


@dataclass(frozen=True)
class Cell:
    """A number in the table."""

    text: str
    note: str | None = None
    """Small print below it; its lines stay apart."""
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
        headline=headline(run),
        facts=list(facts(run)),
        metrics=[names[key.removesuffix("_local")] for key in run.shown_metrics],
        rows=rows(run),
        best=run.best,
        tags={network.name: list(tags(run, network)) for network in run.networks},
        notes=run.notes,
        table_note=table_note(run),
        study=run.results.get("study"),
        pictures=list(pictures(run)),
        sheet=inline("png", run.sheet) if run.sheet else None,
        config=run.config_text,
        missing=[(name, FILES[name]) for name in run.missing],
        version=metadata.version("nasgait"),
    )


def headline(run: RunDir) -> list[str]:
    """Who won, of all and within the budget, in sentences."""
    return list(run.standing.sentences(description.budget(run)))


def in_print(run: RunDir) -> list[str]:
    """The comparison for a terminal: the study, who won, what has to be said of the numbers."""
    study = run.results.get("study")
    table = [*formatting.text_table(study), ""] if study else []
    return [*table, *headline(run), *run.notes]


def tags(run: RunDir, network: Network) -> Iterator[str]:
    """What stands below a network's name: its place, and seeds that it lacks."""
    standing, within = run.standing, run.standing.best_within
    if network.name == run.best:
        yield "best of all"
    if standing.limited and within and network.name == within["name"]:
        yield "best within the budget"
    seeds = len(network.values.get("seeds") or ())
    wanted = max(run.setting("seeds") or 0, most_seeds(run))
    if seeds and seeds < wanted:
        yield f"{seeds} of {wanted} seeds"


def facts(run: RunDir) -> Iterator[tuple[str, str]]:
    """The run at a glance, in pairs of name and value."""
    if run.has_search:
        yield "Search space", str(run.setting("space") or formatting.UNKNOWN)
        yield "Budget", description.budget(run)
    if run.supernet:
        last = run.supernet[-1]
        took = f" in {formatting.duration(last['seconds'])}" if last.get("seconds") else ""
        wanted = run.setting("supernet", "steps") or 0
        step = last["step"] or 0
        of = f" of {wanted:,.0f}" if step < wanted else ""
        yield "Supernet", f"{step:,.0f}{of} steps{took}"
    if run.ledger:
        scored = formatting.count(len(run.ledger), "architecture")
        generations = len({entry.generation for entry in run.ledger})
        took = formatting.duration(sum(entry.seconds for entry in run.ledger))
        bred = formatting.count(generations, "generation")
        yield "Search", f"{scored} scored in {bred}, {took}"
    if run.networks:
        fewest = min(len(network.values.get("seeds") or ()) for network in run.networks)
        seeds = most_seeds(run)
        least = f"{fewest} to " if fewest < seeds else ""
        each = f", {least}{formatting.count(seeds, 'seed')} each" if seeds else ""
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
            value, notes = values.get(key), [formatting.seed_range(values.get(seeds))]
            matched = values.get(matched_key(key))
            if matched not in (None, value):  # as published some protocols leave the others out
                notes.append(f"{formatting.percent(matched)} of the matched")
            note = "\n".join(filter(None, notes)) or None
            cells.append(Cell(formatting.percent(value), note, value == best[key]))
        for cost in ("macs", "params"):
            note = budget_note(run, values, cost)
            cells.append(Cell(formatting.amount(values.get(cost)), note))
        took = formatting.duration(values.get("train_seconds"))
        table.append((network, [*cells, Cell(formatting.input_shape(values)), Cell(took)]))
    return table


def budget_note(run: RunDir, values: dict[str, Any], cost: str) -> str | None:
    """Whether a cost is over the budget, at the budget's frames where these are others."""
    limit = run.limits.get(cost)
    if limit is None:
        return None
    frames = run.budget_frames if cost == "macs" else None
    value = budget_macs(values, frames) if cost == "macs" else values.get(cost)
    other = f" at {frames} frames" if frames not in (None, values.get("frames")) else ""
    if value is None:
        return f"not known{other}" if other else None
    return f"over budget{other}" if value > limit else None


def table_note(run: RunDir) -> str:
    """How the numbers of the table were measured."""
    means = "Metrics and train time are means over the seeds, with the range of the seeds below. "
    return (
        f"{means if most_seeds(run) > 1 else ''}Metrics in percent, {description.evaluation(run)}. "
        f"{description.macs_input(run.networks)}, "
        "multiply-accumulates of convolutions and matrix products; params are those of the "
        "embedding network; both without neck and classifier. Bold: the highest value of a metric."
        f"{matched_note(run)}{side_by_side(run)}"
    )


def matched_note(run: RunDir) -> str:
    """What "of the matched" means, where it stands in the table."""
    pairs = [
        (network.values.get(key), network.values.get(matched_key(key)))
        for network in run.networks
        for key in run.shown_metrics
    ]
    if all(matched in (None, value) for value, matched in pairs):
        return ""
    return " Of the matched: without the probes that have no match in the gallery."


def side_by_side(run: RunDir) -> str:
    """That networks trained at the same time slowed each other down."""
    jobs = run.setting("jobs") or 1
    return f" Train times are those of {jobs} networks trained at a time." if jobs > 1 else ""


def most_seeds(run: RunDir) -> int:
    """The largest number of seeds that a final network has."""
    return max((len(network.values.get("seeds") or ()) for network in run.networks), default=0)
