"""What the results of a network's seeds are together, and which network is the best."""

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

METRICS = ("rank1", "rank5", "rank10", "rank20", "map", "minp")
LOCAL = ("rank1_local", "rank5_local", "map_local")
CONDITIONS = ("rank1_nm", "rank1_bg", "rank1_cl")
MATCHED = tuple(
    f"{name}_matched{end}" for end in ("", "_local") for name in ("rank1", "rank5", "map")
)
"""The same without the probes that have no match."""

COUNTS = tuple(f"{name}{end}" for end in ("", "_local") for name in ("probes", "unmatched_probes"))
ALIKE = (
    "kind", "arch", "model", "macs", "params", "frames", "size", "steps", "budget_frames",
    "budget_macs", "missing_conditions", "notes", "left_out", "recipe", *COUNTS,
)  # fmt: skip
"""What the first seed says for all."""

Result = dict[str, Any]


def summary(name: str, results: Sequence[Result]) -> Result:
    """One network over its seeds: an entry of ``results.json``.

    Metrics and train time are means; a metric that a seed lacks has none.
    """
    first = results[0]
    means = {
        metric: fmean(result[metric] for result in results)
        for metric in (*METRICS, *LOCAL, *CONDITIONS, *MATCHED, "train_seconds")
        if all(result.get(metric) is not None for result in results)
    }
    return {
        "name": name,
        "kind": "",
        **{key: first[key] for key in ALIKE if key in first},
        **dict.fromkeys(("rank1", "rank5", "map")),  # None where the protocol has none
        **means,
        "seeds": [result.get("rank1") for result in results],
        "seeds_map": [known_map(result) for result in results],
        "seed_numbers": [result.get("seed") for result in results],
    }


def known_map(network: Result) -> Any:
    """The network's mAP; that of gallery 01 against probe 02 where no other can be known."""
    return network["map"] if network.get("map") is not None else network.get("map_local")


def matched_key(key: str) -> str:
    """``rank1_matched`` of ``rank1``, ``rank1_matched_local`` of ``rank1_local``."""
    name, local, _ = key.partition("_local")
    return f"{name}_matched{local}"


def metric_key(networks: Iterable[Result], metric: str) -> str:
    """``metric``, or its local one where GREW's probes have no labels for any network."""
    entries = list(networks)
    known = any(entry.get(metric) is not None for entry in entries)
    return metric if known or not entries else f"{metric}_local"


def ordered(networks: Iterable[Result], key: str) -> list[Result]:
    """The networks that have the metric, best first; ties by the other metric, then by MACs."""
    other = key.replace("map", "rank1") if "map" in key else key.replace("rank1", "map")
    return sorted(
        (entry for entry in networks if entry.get(key) is not None),
        key=lambda entry: (-entry[key], -(entry.get(other) or 0), entry.get("macs") or math.inf),
    )


def within_budget(
    entry: Result, limits: Mapping[str, float], frames: int | None = None
) -> bool | None:
    """Whether a network keeps all limits, None where that is not known.

    MACs are compared at the ``frames`` that the budget is for, by default the network's own.
    Latency is measured in the search alone, which gives no architecture above the limit.
    """
    found: list[bool | None] = []
    for cost, limit in limits.items():
        if cost == "latency":
            found.append(True if entry.get("kind") == "searched" else None)
        else:
            value = budget_macs(entry, frames) if cost == "macs" else entry.get(cost)
            found.append(None if value is None else value <= limit)
    if False in found:
        return False
    return None if None in found else True


def budget_macs(entry: Result, frames: int | None) -> Any:
    """The network's MACs at so many frames (its own by default); None where they are not known."""
    if frames in (None, entry.get("frames")):
        return entry.get("macs")
    return entry.get("budget_macs") if entry.get("budget_frames") == frames else None


def evaluation_notes(networks: Sequence[Result]) -> list[str]:
    """What the evaluations of all networks have to say, and that of some with their names."""
    said: dict[str, list[str]] = {}
    for network in networks:
        for note in [*(network.get("notes") or ()), *_left_out(network.get("left_out") or ())]:
            said.setdefault(note, []).append(network["name"])
    return [
        f"{note}." if len(names) == len(networks) else f"{', '.join(names)}: {note}."
        for note, names in said.items()
    ]


def _left_out(keys: Sequence[str]) -> list[str]:
    """A note for damaged sequences that neither trained nor tested."""
    sequences = "1 damaged sequence" if len(keys) == 1 else f"{len(keys)} damaged sequences"
    return [f"{sequences} of the store left out, {keys[0]} first"] if keys else []
