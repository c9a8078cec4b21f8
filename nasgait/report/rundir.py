"""A run directory, read once for the report."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any, TypeVar

from nasgait.config.load import read_yaml
from nasgait.core.checksum import read_result
from nasgait.core.errors import DataError
from nasgait.core.metrics_log import read_metrics
from nasgait.report.differences import differences, sentences
from nasgait.report.network_result import read_network_result
from nasgait.report.results import evaluation_notes, summary
from nasgait.report.standing import Standing
from nasgait.search.generations import read_generations
from nasgait.search.latency import read_conditions
from nasgait.search.ledger import LedgerEntry, read_ledger
from nasgait.search.pareto import read_pareto

T = TypeVar("T")
Metrics = list[dict[str, float | None]]

FILES = {
    "config.yaml": "the settings",
    "results.json": "the comparison (this page compares the networks finished so far)",
    "sheet.png": "the contact sheet",
    "supernet/metrics.jsonl": "the supernet's training curve",
    "search/ledger.jsonl": "the search",
    "search/generations.jsonl": "the choices of each generation",
    "search/pareto.json": "the end of the search (the front is that of the scores so far)",
    "retrain/*/seed-*/result.json": "CMC curves",
    "retrain/*/seed-*/metrics.jsonl": "training curves of the final networks",
}
"""The files of a complete run, and what is missing from a report without them."""

SEARCH_FOLDERS = ("supernet/", "search/")
"""Only a run with a search space has these."""

COSTS = ("macs", "params", "latency")


@dataclass(frozen=True)
class Network:
    """A final network with all its seeds."""

    name: str
    kind: str
    """searched, baseline, random or uniform."""
    values: dict[str, Any]
    """Its entry in ``results.json``: metrics in percent, MACs, params, seconds, ..."""
    results: tuple[dict[str, Any], ...] = ()
    """``result.json`` of each seed."""
    curves: tuple[Metrics, ...] = ()
    """``metrics.jsonl`` of each seed."""

    @property
    def design(self) -> str:
        """The searched architecture in print, or the name of the hand-designed model."""
        return str(self.values.get("arch") or self.values.get("model") or "")

    @property
    def cmc(self) -> list[float]:
        """Percent of probes matched within rank 1, 2, ..., mean over seeds; may be empty."""
        curves = [result["cmc"] for result in self.results if result.get("cmc")]
        return [fmean(shares) for shares in zip(*curves, strict=False)]


@dataclass(frozen=True)
class RunDir:
    """All that the report shows."""

    path: Path
    config: dict[str, Any]
    """The settings; ``search`` is that of ``search/config.yaml`` where it exists."""
    config_text: str
    results: dict[str, Any]
    networks: tuple[Network, ...]
    supernet: Metrics
    ledger: tuple[LedgerEntry, ...]
    front: tuple[LedgerEntry, ...] | None
    """The Pareto front that a finished search wrote."""
    generations: tuple[dict[str, Any], ...]
    """A summary of each complete generation; see :mod:`nasgait.search.generations`."""
    rank: dict[str, Any] | None
    """Rank correlation of supernet scores with retrained metrics; studies only."""
    sheet: bytes | None
    missing: tuple[str, ...]
    """Files of a complete run that do not exist (see :data:`FILES`)."""
    latency: dict[str, Any] | None = None
    """How the search measured latency: device, threads, frames; None where it did not."""

    @cached_property
    def standing(self) -> Standing:
        """The networks that are known so far in the order of the run's objective."""
        entries = [network.values for network in self.networks]
        return Standing.of(entries, self.metric, self.limits, self.budget_frames)

    @property
    def best(self) -> str | None:
        """The name of the network that won."""
        best = self.standing.best
        return best["name"] if best else None

    @property
    def budget_frames(self) -> int | None:
        """Frames that the budget's MACs are counted for, None where that is not recorded."""
        known = (network.values.get("budget_frames") for network in self.networks)
        found = next((frames for frames in known if frames), None)
        return self.results.get("budget_frames") or found or self.setting("search", "frames")

    @property
    def notes(self) -> list[str]:
        """What has to be said of the numbers, from the results of every seed until they are
        compared."""
        if "notes" in self.results:
            return list(self.results["notes"])
        seeds = {network.name: network.results for network in self.networks if network.results}
        unequal = sentences(differences(seeds)) if seeds else []
        return [*unequal, *evaluation_notes([network.values for network in self.networks])]

    @property
    def has_search(self) -> bool:
        """Whether the run has a supernet and a search; True where the settings are missing."""
        return self.config.get("space", "unknown") is not None

    @property
    def objectives(self) -> list[str]:
        """What the search optimises: metrics and costs."""
        return self.setting("search", "objectives") or ["map"]

    @property
    def metric(self) -> str:
        """The metric that the search scores by, ``map`` or ``rank1``."""
        return next((name for name in self.objectives if name in ("map", "rank1")), "map")

    @property
    def shown_metrics(self) -> tuple[str, str]:
        """Keys of rank-1 and mAP; GREW without labels for its probes has local ones only."""
        known = any(network.values.get("rank1") is not None for network in self.networks)
        return ("rank1", "map") if known or not self.networks else ("rank1_local", "map_local")

    @property
    def ranking_metric(self) -> str:
        """The key of the metric that orders the final networks."""
        return self.standing.key

    @property
    def limits(self) -> dict[str, float]:
        """The budget's limits by cost; from the settings until the networks are compared."""
        limits = self.results.get("budget")
        if limits is None:
            limits = {name: self.setting("search", f"max_{name}") for name in COSTS}
        return {name: limits[name] for name in COSTS if limits.get(name) is not None}

    def setting(self, *keys: str) -> Any:
        """A key of the configuration, None where it is missing."""
        value: Any = self.config
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value


def read_run(path: str | Path) -> RunDir:
    """Read a run directory, complete or unfinished.

    Raises:
        DataError: the directory has no file of a run, or a file is broken.
    """
    path = Path(path)
    missing = [name for name in FILES if not any(path.glob(name))]
    if len(missing) == len(FILES):
        raise DataError(f"{path}: not a run directory; expected one of {', '.join(FILES)}")

    def read(name: str, reader: Callable[[Path], T], absent: T) -> T:
        return reader(path / name) if (path / name).is_file() else absent

    results: dict[str, Any] = read("results.json", read_result, {})
    config: dict[str, Any] = read("config.yaml", read_yaml, {})
    own: dict[str, Any] = read("search/config.yaml", read_yaml, {})
    if "search" in own:
        config["search"] = own["search"]
    if config.get("space", "unknown") is None:
        missing = [name for name in missing if not name.startswith(SEARCH_FOLDERS)]
    return RunDir(
        path=path,
        config=config,
        config_text=read("config.yaml", lambda p: p.read_text("utf-8", "replace"), ""),
        results=results,
        networks=_networks(path, results),
        supernet=read("supernet/metrics.jsonl", read_metrics, []),
        ledger=tuple(read("search/ledger.jsonl", read_ledger, [])),
        front=read("search/pareto.json", lambda p: tuple(read_pareto(p)["front"]), None),
        generations=tuple(read("search/generations.jsonl", read_generations, [])),
        rank=read("rank.json", read_result, None),
        sheet=read("sheet.png", Path.read_bytes, None),
        missing=tuple(missing),
        latency=read("search/latency.jsonl", read_conditions, None),
    )


def _networks(path: Path, results: dict[str, Any]) -> tuple[Network, ...]:
    """The networks of ``results.json`` or, before it exists, those with finished seeds."""
    results_of: dict[str, list[dict[str, Any]]] = defaultdict(list)
    curves: dict[str, list[Metrics]] = defaultdict(list)
    for file in sorted(path.glob("retrain/*/seed-*/result.json")):
        results_of[file.parts[-3]].append(read_network_result(file))
    for file in sorted(path.glob("retrain/*/seed-*/metrics.jsonl")):
        curves[file.parts[-3]].append(read_metrics(file))
    entries = results.get("networks")
    if entries is None:
        entries = [summary(name, found) for name, found in results_of.items()]
    try:
        return tuple(
            Network(
                name=entry["name"],
                kind=entry["kind"],
                values=entry,
                results=tuple(results_of[entry["name"]]),
                curves=tuple(curves[entry["name"]]),
            )
            for entry in entries
        )
    except (TypeError, KeyError) as error:
        raise DataError(
            f"{path / 'results.json'}: 'networks' must be a list of objects with name and kind "
            f"({error!r}); run the comparison again"
        ) from error
