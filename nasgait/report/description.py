"""How the numbers of a run were measured, in words."""

from collections.abc import Sequence
from typing import Any

from nasgait.report import formatting
from nasgait.report.rundir import Network, RunDir
from nasgait.report.standing import METRIC_NAMES

COST_NAMES = {"macs": "MACs", "params": "params", "latency": "latency"}
DISTANCE_NAMES = {"euc": "Euclidean", "cos": "cosine"}


def evaluation(run: RunDir) -> str:
    """How the final networks were evaluated: protocol, distance, frames, seeds."""
    results = [result for network in run.networks for result in network.results]
    settings = next((r["evaluation"] for r in results if r.get("evaluation")), None)
    settings = settings or run.setting("evaluation") or {}
    protocol = settings.get("protocol") or run.results.get("protocol")
    if protocol == "leave-one-out":
        gallery = settings.get("gallery_ids")
        place = f"its gallery of {gallery} identities" if gallery else "the test identities"
        how = f"leave-one-out: each test sequence is a probe against all others of {place}"
    elif protocol == "grew" and settings.get("truth"):
        how = "GREW: each unlabelled probe against the whole gallery, scored by the given labels"
    elif protocol == "grew":
        how = "GREW without its hidden labels: gallery 01 against probe 02 of each test identity"
    else:
        how = f"protocol {protocol or 'not recorded'}"
    seeds = sorted({result["seed"] for result in results if "seed" in result})
    named = f"; seeds {', '.join(map(str, seeds))}" if len(seeds) > 1 else ""
    named = f"; one seed ({seeds[0]})" if len(seeds) == 1 else named
    return f"{how}; {_distance(settings, results)}, mean over parts; {_frames(settings)}{named}"


def scoring(run: RunDir) -> str:
    """How the search scored an architecture."""
    search = run.setting("search") or {}
    sequences = search.get("max_sequences")
    calibration = (search.get("calibration") or {}).get("sequences")
    sentence = [
        f"leave-one-out {METRIC_NAMES[run.metric]} on the search-val identities, none of which is "
        "a test identity, with the supernet's shared weights"
    ]
    if calibration:
        sentence.append(f"BatchNorm recalibrated on {calibration} training sequences")
    if sequences:
        sentence.append(f"at most {sequences} sequences")
    return "; ".join([*sentence, _frames(search)])


def early_end(run: RunDir) -> str:
    """A sentence for a finished search that scored fewer architectures than it was set to."""
    population, epochs = (run.setting("search", key) for key in ("population", "max_epochs"))
    wanted = (population or 0) * (1 + (epochs or 0))
    if run.front is None or len(run.ledger) >= wanted:
        return ""
    return (
        f" The search ended before {wanted} architectures were scored: no other was within the "
        "budget."
    )


def front_objectives(run: RunDir) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The metrics and costs of the front; MACs and params where the search had one objective."""
    metrics = tuple(name for name in run.objectives if name not in COST_NAMES)
    costs = tuple(name for name in run.objectives if name in COST_NAMES)
    return metrics, costs if len(run.objectives) > 1 else ("macs", "params")


def front(run: RunDir) -> str:
    """The objectives of the front in words."""
    metrics, costs = front_objectives(run)
    names = [*(METRIC_NAMES[name] for name in metrics), *(COST_NAMES[name] for name in costs)]
    return f"{', '.join(names[:-1])} and {names[-1]}"


def budget(run: RunDir) -> str:
    """The limits of the search in words."""
    limits = (
        f"{COST_NAMES.get(name, name)} ≤ {formatting.limit(name, limit)}"
        for name, limit in run.limits.items()
    )
    return ", ".join(limits) or "none"


def macs_input(networks: Sequence[Network]) -> str:
    """The input for which MACs are counted."""
    shapes = {formatting.input_shape(network.values) for network in networks}
    shapes -= {formatting.UNKNOWN}
    if len(shapes) != 1:
        return "MACs are those of one sequence at the network's own input size"
    return f"MACs are those of one sequence of {shapes.pop()} (frames × height × width)"


def _distance(settings: dict[str, Any], results: Sequence[dict[str, Any]]) -> str:
    """The distance of the evaluation; all of them where networks use different ones."""
    found = {result["evaluation"].get("metric") for result in results if result.get("evaluation")}
    found = (found or {settings.get("metric")}) - {None}
    if not found:
        return "distance not recorded"
    kinds = " or ".join(sorted(DISTANCE_NAMES.get(metric, metric) for metric in found))
    return f"{kinds} distance" + (", as set for each network" if len(found) > 1 else "")


def _frames(settings: dict[str, Any]) -> str:
    limit = settings.get("max_frames")
    return f"at most {limit} frames of each sequence" if limit else "all frames of each sequence"
