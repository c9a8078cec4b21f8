"""Final networks beside each other: ``results.json`` from the results of every seed."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from nasgait.config.schema import ExperimentConfig
from nasgait.core.errors import DataError
from nasgait.core.files import write_json
from nasgait.core.rng import generator
from nasgait.evaluation.statistics import clustered_mean, paired_difference
from nasgait.report.results import KINDS, read_result
from retrain.evaluate import Probes, read_probes

METRICS = ("rank1", "rank5", "rank10", "rank20", "map", "minp")
LOCAL = ("rank1_local", "rank5_local", "map_local")
CONDITIONS = ("rank1_nm", "rank1_bg", "rank1_cl")

NEEDED = ("kind", "arch", "model", "seed", "steps", "macs", "params", "frames", "size",
          "train_seconds", "rank1", "map")  # fmt: skip
"""What a result must hold to be compared."""

Result = dict[str, Any]


def compare(run_dir: Path, config: ExperimentConfig) -> dict[str, Any]:
    """Write ``results.json`` of a run directory and return what it holds.

    Metrics are means over seeds, in percent.  With several networks a study table
    gives errors clustered by identity and differences to the searched network (without a
    search: to the first of the configuration's ``baselines``), paired probe by probe.

    Raises DataError when no final network has been evaluated.
    """
    found = group(run_dir)
    networks = [summary(name, results) for name, results in found.items()]
    listed = [baseline.title for baseline in config.baselines]
    place = {name: number for number, name in enumerate(listed)}
    networks.sort(key=lambda n: (KINDS.index(n["kind"]), place.get(n["name"], -1), n["name"]))
    searched = [network["name"] for network in networks if network["kind"] == "searched"]
    results = {
        "best": searched[0] if searched else max(networks, key=known_map)["name"],
        "budget": {
            "macs": config.search.max_macs,
            "params": config.search.max_params,
            "latency": config.search.max_latency,
        },
        "protocol": config.evaluation.protocol,
        "networks": networks,
    }
    if len(networks) > 1:
        probes = {name: pooled(run_dir, name, seeds) for name, seeds in found.items()}
        # The best one is chosen by the very metrics of the table; the first listed is not.
        reference = next((name for name in (*searched, *listed) if name in found), results["best"])
        results["study"] = study(networks, probes, reference, config.seed)
    write_json(run_dir / "results.json", results)
    return results


def group(run_dir: Path) -> dict[str, list[Result]]:
    """The results of every seed, by network."""
    found: dict[str, list[Result]] = defaultdict(list)
    for path in sorted((run_dir / "retrain").glob("*/seed-*/result.json")):
        found[path.parent.parent.name].append(read_result(path, NEEDED))
    if not found:
        raise DataError(f"{run_dir}: no retrained network; run nasgait retrain first")
    return {name: sorted(results, key=lambda r: r["seed"]) for name, results in found.items()}


def summary(name: str, results: list[Result]) -> Result:
    """One network over its seeds."""
    first = results[0]
    means = {
        metric: fmean(result[metric] for result in results)
        for metric in (*METRICS, *LOCAL, *CONDITIONS)
        if all(result.get(metric) is not None for result in results)
    }
    same = ("kind", "arch", "model", "macs", "params", "frames", "size", "steps")
    return {
        "name": name,
        **{key: first[key] for key in same},
        **dict.fromkeys(("rank1", "rank5", "map")),  # None where the protocol has none
        **means,
        "train_seconds": fmean(result["train_seconds"] for result in results),
        "seeds": [result["rank1"] for result in results],
        "seeds_map": [known_map(result) for result in results],
    }


def pooled(run_dir: Path, name: str, results: list[Result]) -> Probes:
    """Each probe's hits and average precision, averaged over a network's seeds."""
    folders = [run_dir / "retrain" / name / f"seed-{result['seed']}" for result in results]
    seeds = [read_probes(folder / "probes.npz") for folder in folders]
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


def known_map(network: Result) -> float:
    """The network's mAP; that of gallery 01 against probe 02 where no other can be known."""
    return network["map"] if network["map"] is not None else network["map_local"]


def notes(networks: list[Result], probes: Probes) -> list[str]:
    """What the table is based on, and what it cannot show."""
    seeds = min(len(network["seeds"]) for network in networks)
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
