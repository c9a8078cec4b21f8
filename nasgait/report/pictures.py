"""The figures of the result page, each with a title and a caption."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nasgait.report import description, plots, search_plots
from nasgait.report.rundir import Network, RunDir
from nasgait.search.pareto import pareto


@dataclass(frozen=True)
class Picture:
    """A figure of the page."""

    title: str
    uri: str
    """The image itself, as a data URI."""
    caption: str
    """What it shows and how it was measured."""


def pictures(run: RunDir) -> Iterator[Picture]:
    """Every figure for which the run has data."""
    looks = plots.looks(run.networks)
    yield from _comparison(run, looks)
    if run.ledger:
        yield from _search(run)
        yield from _generations(run)
    if run.rank and run.rank.get("table"):
        yield _agreement(run, run.rank, looks)
    if run.supernet or any(any(network.curves) for network in run.networks):
        yield _picture(
            "Training",
            plots.training_curves(run.supernet, run.networks, looks),
            "Training loss as logged, with a line for each seed of a final network. The "
            "supernet's loss varies with the path drawn at each step. Compare losses only "
            "between networks trained with the same loss terms and weights.",
        )


def inline(kind: str, image: bytes) -> str:
    """An image as a data URI."""
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"


def _picture(title: str, svg: bytes, caption: str) -> Picture:
    return Picture(title, inline("svg+xml", svg), caption)


def _comparison(run: RunDir, looks: Mapping[str, plots.Look]) -> Iterator[Picture]:
    """Final networks: accuracy against cost, and CMC."""
    key = run.ranking_metric
    name = description.METRIC_NAMES[key.removesuffix("_local")]
    needed = (key, "macs", "params")
    complete = [n for n in run.networks if all(n.values.get(k) is not None for k in needed)]
    if complete:
        several = any(len(network.values.get("seeds") or ()) > 1 for network in complete)
        limits, absent = _drawn_limits(run, complete)
        bars = "Means over the seeds, bars from the worst to the best seed. " if several else ""
        yield _picture(
            "Accuracy and cost of the final networks",
            plots.accuracy_and_cost(complete, looks, key, f"Test {name} (%)", limits),
            f"Test {name} of every trained network against its MACs (left) and its params "
            f"(right). {bars}The dashed line joins the networks that no cheaper one equals. "
            f"Measured by {description.evaluation(run)}. {description.macs_input(complete)}."
            f"{absent}",
        )
    if any(network.cmc for network in run.networks):
        yield _picture(
            "Cumulative match characteristic",
            plots.cmc_curves(run.networks, looks),
            "Share of probes whose identity is among the nearest gallery sequences up to each "
            f"rank, mean over the seeds. Measured by {description.evaluation(run)}.",
        )


def _drawn_limits(run: RunDir, shown: Sequence[Network]) -> tuple[dict[str, float], str]:
    """The limits whose lines fit the costs shown, and what the figure lacks in words."""
    limits, absent = dict(run.limits), ""
    if lacking := [network.name for network in run.networks if network not in shown]:
        absent += f" Not shown, for lack of the metric or a cost: {', '.join(lacking)}."
    frames = {network.values.get("frames") for network in shown} - {None, run.budget_frames}
    if run.budget_frames and frames and limits.pop("macs", None) is not None:
        absent += (
            f" The budget's MACs are for {run.budget_frames} frames, so that its line is not drawn."
        )
    return limits, absent


def _search(run: RunDir) -> Iterator[Picture]:
    """The scores of the search, by generation and against cost."""
    key, name = run.metric, description.METRIC_NAMES[run.metric]
    label = f"Search-val {name} (%)"
    yield _picture(
        "Search progress",
        search_plots.search_progress(run.ledger, key, label),
        f"Every scored architecture, by the generation it was bred in. The score is {name}: "
        f"{description.scoring(run)}. It ranks architectures; do not compare it with test results."
        f"{description.early_end(run)}",
    )
    objectives = description.front_objectives(run)
    front = pareto(run.ledger, *objectives) if run.front is None else run.front
    frames = run.setting("search", "frames")
    at = f"for {frames} frames" if frames else "for the space's own number of frames"
    timed = all("latency" in entry.values for entry in run.ledger)
    machine = "the machine of the search"
    if how := run.latency:
        machine = f"{how['device']} with {how['threads']} CPU threads, {how['frames']} frames"
    latency = f", and latency as measured on {machine}" if timed else ""
    yield _picture(
        "Search: score and cost",
        search_plots.search_scatter(run.ledger, front, key, label, run.limits),
        f"The same scores against MACs of one sequence (left, counted {at}) and params{latency} "
        f"(right). Blue: the Pareto front, which no other architecture beats in "
        f"{description.front(run)} together. Budget: {description.budget(run)}.",
    )


def _generations(run: RunDir) -> Iterator[Picture]:
    """The generations of the search: their hypervolume, and their choices."""
    if run.generations and all("hypervolume" in line for line in run.generations):
        yield _picture(
            "Search: hypervolume",
            search_plots.hypervolume(run.generations),
            f"Hypervolume of all architectures scored so far, in {description.front(run)}, as a "
            "share of the box from 0 % at the budget's limits (where there is none, at the largest "
            "cost in the space) to 100 % at no cost.",
        )
    if any(len(layer) > 1 for line in run.generations for layer in line["frequencies"]):
        yield _picture(
            "Search: choices of each generation",
            search_plots.choices_over_time(run.generations),
            "For each layer with a choice, the share of a generation's architectures that take it.",
        )


def _agreement(run: RunDir, rank: dict[str, Any], looks: Mapping[str, plots.Look]) -> Picture:
    """Supernet scores against retrained metrics."""
    name = description.METRIC_NAMES.get(rank.get("objective", ""), "metric")
    measured = ", ".join(
        f"{title} {rank[key]['value']:+.2f} (95 % interval {rank[key]['low']:+.2f} to "
        f"{rank[key]['high']:+.2f})"
        for key, title in (("spearman", "Spearman"), ("kendall", "Kendall"))
        if isinstance(rank.get(key), dict)
    )
    notes = "".join(f" {note}" for note in rank.get("notes", ()))
    return _picture(
        "Does the supernet rank architectures correctly?",
        plots.agreement(rank["table"], run.networks, looks, name),
        f"Architectures that the search did not choose: {name} with the supernet's weights "
        f"against {name} when retrained. Rank correlation: {measured}; intervals by bootstrap "
        f"over the architectures.{notes}",
    )
