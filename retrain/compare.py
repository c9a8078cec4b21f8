"""Final networks beside each other: ``results.json`` from the results of every seed."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasgait.config.schema import ExperimentConfig
from nasgait.core.checksum import write_checked
from nasgait.core.errors import DataError
from nasgait.core.rng import generator
from nasgait.evaluation.statistics import clustered_mean, paired_difference
from nasgait.report.differences import differences, sentences
from nasgait.report.network_result import KINDS, read_network_result
from nasgait.report.results import (
    CONDITIONS,
    LOCAL,
    METRICS,
    Result,
    evaluation_notes,
    known_map,
    summary,
)
from nasgait.report.standing import Standing
from retrain.evaluate import Probes, read_probes
from search_spaces.configured import budget_frames

__all__ = ["CONDITIONS", "LOCAL", "METRICS", "compare", "group", "pooled", "study", "summary"]

NEEDED = ("kind", "arch", "model", "seed", "steps", "macs", "params", "frames", "size",
          "train_seconds", "rank1", "map")  # fmt: skip
"""What a result must hold to be compared."""

MEANS_APART = 0.05
"""Percent from which a mean over probes is not told as the published mean."""


def compare(run_dir: Path, config: ExperimentConfig) -> dict[str, Any]:
    """Write ``results.json`` of a run directory and return what it holds.

    Metrics are means over seeds, in percent.  ``best`` is the best of all networks by the run's
    objective, ``best_within_budget`` the best of those that keep the budget (None where none is
    known to), ``differences`` is in what they were not trained or evaluated alike, ``notes`` what
    has to be said of the numbers.  With several networks a study table gives errors clustered by
    identity and differences to the searched network (without a search: to the first of the
    configuration's ``baselines``), paired probe by probe.

    Raises DataError when no final network has been evaluated, or networks on different probes.
    """
    found = group(run_dir)
    networks = [summary(name, results) for name, results in found.items()]
    listed = [baseline.title for baseline in config.baselines]
    place = {name: number for number, name in enumerate(listed)}
    networks.sort(key=lambda n: (KINDS.index(n["kind"]), place.get(n["name"], -1), n["name"]))
    probes = {name: pooled(run_dir, name, seeds) for name, seeds in found.items()}
    check_same_probes(run_dir, probes)
    limits = {name: getattr(config.search, f"max_{name}") for name in ("macs", "params", "latency")}
    frames, metric = budget_frames(config), config.search.metric
    known = {name: limit for name, limit in limits.items() if limit is not None}
    standing = Standing.of(networks, metric, known, frames)
    best, within = standing.best or networks[0], standing.best_within
    with_intervals(networks, probes, standing.key, best["name"], config.seed)
    for network in networks:
        network["within_budget"] = standing.within[network["name"]]
    unequal = differences(found)
    results: dict[str, Any] = {
        "best": best["name"],
        "best_within_budget": within and within["name"],
        "objective": standing.key,
        "budget": limits,
        "budget_frames": frames,
        "protocol": config.evaluation.protocol,
        "seeds": config.seeds,
        "networks": networks,
        "differences": unequal,
        "notes": [
            *sentences(unequal),
            *evaluation_notes(networks),
            *means_apart(networks, probes, standing.key),
        ],
    }
    if len(networks) > 1:
        # The best one is chosen by the very metrics of the table; these are not.
        searched = [network["name"] for network in networks if network["kind"] == "searched"]
        reference = next((name for name in (*searched, *listed) if name in found), best["name"])
        results["study"] = study(networks, probes, reference, config.seed)
    return write_checked(run_dir / "results.json", results)


def with_intervals(
    networks: list[Result], probes: Mapping[str, Probes], key: str, best: str, seed: int
) -> None:
    """Add to each network its 95 % ``interval`` and its difference to ``best``, ``against_best``.

    Both of the metric ``key``, clustered by identity; nothing where fewer than two were tested.
    """

    for network in networks:
        name, labels = network["name"], probes[network["name"]].labels
        if len(set(labels.tolist())) < 2 or network.get(key) is None:
            continue
        rng = generator(seed, "interval", name)
        mine, theirs = (100 * values_of(probes[one], key) for one in (name, best))
        own = clustered_mean(mine, labels, rng)
        network["interval"] = [own.low, own.high]
        if name != best:
            gap = paired_difference(mine, theirs, labels, rng)
            network["against_best"] = {"mean": gap.mean, "low": gap.low, "high": gap.high}


def check_same_probes(run_dir: Path, probes: Mapping[str, Probes]) -> None:
    """Refuse networks that were evaluated on different probes: DataError."""
    (first, wanted), *others = probes.items()
    for name, found in others:
        if not np.array_equal(found.labels, wanted.labels):
            raise DataError(
                f"{run_dir}: {name} was evaluated on {len(found.labels)} probes that are not the "
                f"{len(wanted.labels)} of {first}, as the test sequences have changed meanwhile; "
                f"remove {run_dir}/retrain/*/seed-*/result.json, and the same nasgait run "
                "evaluates all networks again"
            )


def group(run_dir: Path) -> dict[str, list[Result]]:
    """The results of every seed, by network."""
    found: dict[str, list[Result]] = defaultdict(list)
    for path in sorted((run_dir / "retrain").glob("*/seed-*/result.json")):
        found[path.parent.parent.name].append(read_network_result(path, NEEDED))
    if not found:
        raise DataError(f"{run_dir}: no retrained network; run nasgait retrain first")
    return {name: sorted(results, key=lambda r: r["seed"]) for name, results in found.items()}


def means_apart(networks: list[Result], probes: Mapping[str, Probes], key: str) -> list[str]:
    """A sentence where intervals and study have other means than the table, over other cells."""
    apart = [
        f"{network['name']} {mean:.1f} for {network[key]:.1f} %"
        for network in networks
        if network.get(key) is not None and len(probes[network["name"]].labels)
        for mean in [100 * values_of(probes[network["name"]], key).mean()]
        if abs(mean - network[key]) > MEANS_APART
    ]
    if not apart:
        return []
    return [
        f"Intervals and study are of means over probes, the table has those of the protocol: "
        f"{', '.join(apart)}."
    ]


def values_of(probes: Probes, key: str) -> NDArray[np.float64]:
    """What the metric ``key`` is the mean of, for each probe, 0..1."""
    return probes.ap if key.startswith("map") else probes.hits


def pooled(run_dir: Path, name: str, results: list[Result]) -> Probes:
    """Each probe's hits and average precision, averaged over a network's seeds.

    Raises DataError where a seed was evaluated on other probes than the first.
    """
    folders = [run_dir / "retrain" / name / f"seed-{result['seed']}" for result in results]
    seeds = [read_probes(folder / "probes.npz") for folder in folders]
    for folder, seed in zip(folders, seeds, strict=True):
        if not np.array_equal(seed.labels, seeds[0].labels):
            raise DataError(
                f"{folder}: was evaluated on other probes than {folders[0]}; remove its "
                "result.json, so that it is evaluated again"
            )
    return Probes(
        labels=seeds[0].labels,
        hits=np.mean([seed.hits for seed in seeds], axis=0),
        ap=np.mean([seed.ap for seed in seeds], axis=0),
    )


def study(
    networks: list[Result], probes: Mapping[str, Probes], reference: str, seed: int
) -> dict[str, Any]:
    """A table with clustered errors and paired differences to ``reference``."""
    rng = generator(seed, "study")
    local = " (01 against 02)" if networks[0]["map"] is None else ""
    rows = []
    for network in networks:
        mine, theirs = probes[network["name"]], probes[reference]
        ap = clustered_mean(100 * mine.ap, mine.labels, rng)
        rank1 = clustered_mean(100 * mine.hits, mine.labels, rng)
        row = [network["name"], network["arch"] or network["model"]]
        row += [f"{ap.mean:.1f} ± {ap.se:.1f}", f"{rank1.mean:.1f} ± {rank1.se:.1f}"]
        if network["name"] == reference:
            row.append("–")
        else:
            gap = paired_difference(100 * mine.ap, 100 * theirs.ap, mine.labels, rng)
            row.append(f"{gap.mean:+.1f} [{gap.low:+.1f}, {gap.high:+.1f}]")
        rows.append([*row, ", ".join(f"{value:.1f}" for value in network["seeds_map"])])
    return {
        "columns": [
            "network",
            "architecture",
            f"mAP %{local}",
            f"rank-1 %{local}",
            f"mAP against {reference}",
            "mAP of each seed",
        ],
        "rows": rows,
        "notes": against_chance(networks, probes, reference, rng)
        + notes(networks, probes[reference]),
    }


def against_chance(
    networks: list[Result], probes: Mapping[str, Probes], reference: str, rng: np.random.Generator
) -> list[str]:
    """The searched network compared with the median random one; nothing without random ones.

    Of an even number the better of the two in the middle is taken.
    """
    drawn = sorted((n for n in networks if n["kind"] == "random"), key=known_map)
    if not drawn or all(n["kind"] != "searched" for n in networks):
        return []
    median = drawn[len(drawn) // 2]
    mine, theirs = probes[reference], probes[median["name"]]
    gap = paired_difference(100 * mine.ap, 100 * theirs.ap, mine.labels, rng)
    return [
        f"The median of {len(drawn)} random network(s) by mAP is {median['name']} "
        f"({known_map(median):.1f}): {reference} is {gap.mean:+.1f} to it "
        f"[{gap.low:+.1f}, {gap.high:+.1f}]."
    ]


def notes(networks: list[Result], probes: Probes) -> list[str]:
    """What the table is based on, and what it cannot show."""
    counts = [len(network["seeds"]) for network in networks]
    fewest, most = min(counts), max(counts)
    seeds = f"{fewest}" if fewest == most else f"{fewest} to {most}"
    identities = len(set(probes.labels.tolist()))
    return [
        f"Means over {seeds} seed(s) of {len(probes.labels)} probes of {identities} identities. "
        "± is one standard error and brackets are 95 % intervals, by bootstrap over identities, "
        "because probes of one identity are correlated; differences are paired probe by probe.",
        "The errors say how far the metrics would move with other test identities. They hold the "
        "trained networks fixed: how far they move with another training seed is what the last "
        "column shows, and a few seeds show it only roughly.",
        "Intervals are not corrected for the number of comparisons.",
    ]
