"""What a run directory holds, read once for the report."""

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, TypeVar

from nasgait.config.load import read_yaml
from nasgait.core.errors import DataError
from nasgait.core.metrics_log import read_metrics
from nasgait.search.generations import read_generations
from nasgait.search.ledger import LedgerEntry, read_ledger
from nasgait.search.pareto import read_pareto

T = TypeVar("T")
Metrics = list[dict[str, float | None]]

PARTS = {
    "config.yaml": "the settings",
    "results.json": "the comparison, here made of the networks that are finished",
    "sheet.png": "the contact sheet",
    "supernet/metrics.jsonl": "the supernet's training curve",
    "search/ledger.jsonl": "the search",
    "search/generations.jsonl": "which choices the search took",
    "search/pareto.json": "the finished search, whose front is here made of what is scored so far",
    "retrain/*/seed-*/result.json": "CMC curves",
    "retrain/*/seed-*/metrics.jsonl": "training curves of the final networks",
}
"""The files a whole run has, and what a report without them lacks."""

SEARCHING = ("supernet/", "search/")
"""Where the files lie that a run without a search space does not make."""


@dataclass(frozen=True)
class Network:
    """A final network over its seeds."""

    name: str
    kind: str
    """searched, baseline, random or uniform."""
    values: dict[str, Any]
    """Its entry in ``results.json``: rates in percent, MACs, params, seconds, ..."""
    finals: tuple[dict[str, Any], ...] = ()
    """``result.json`` of each seed."""
    curves: tuple[Metrics, ...] = ()
    """``metrics.jsonl`` of each seed."""

    @property
    def built(self) -> str:
        """The architecture in print, or the model's name."""
        return str(self.values.get("arch") or self.values.get("model") or "")

    @property
    def cmc(self) -> list[float]:
        """Mean over seeds: percent of probes matched within rank 1, 2, ...; may be empty."""
        curves = [final["cmc"] for final in self.finals if final.get("cmc")]
        return [fmean(rates) for rates in zip(*curves, strict=False)]


@dataclass(frozen=True)
class RunDir:
    """All that the report shows."""

    path: Path
    config: dict[str, Any]
    """The settings; of ``search`` those that the search itself wrote down, if it did."""
    config_text: str
    results: dict[str, Any]
    networks: tuple[Network, ...]
    supernet: Metrics
    ledger: tuple[LedgerEntry, ...]
    front: tuple[LedgerEntry, ...] | None
    """The Pareto front that a finished search wrote."""
    generations: tuple[dict[str, Any], ...]
    """What each complete generation of the search was like; see ``nasgait.search.generations``."""
    rank: dict[str, Any] | None
    """How supernet scores agree with retrained rates; only studies have it."""
    sheet: bytes | None
    missing: tuple[str, ...]
    """Files of a whole run that are not there (see ``PARTS``)."""

    @property
    def best(self) -> str | None:
        """The name of the network that the run stands for."""
        return self.results.get("best")

    @property
    def searches(self) -> bool:
        """Whether a supernet and a search are part of the run, as far as is known."""
        return self.config.get("space", "unknown") is not None

    def setting(self, *keys: str) -> Any:
        """A key of the configuration, None where it is not there."""
        value: Any = self.config
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value


def read_run(path: str | Path) -> RunDir:
    """Read a run directory, whole or unfinished.

    Raises:
        DataError: nothing of a run is there, or a file of it is broken.
    """
    path = Path(path)
    missing = [name for name in PARTS if not any(path.glob(name))]
    if len(missing) == len(PARTS):
        raise DataError(f"{path}: not a run directory; expected one of {', '.join(PARTS)}")

    def read(name: str, reader: Callable[[Path], T], absent: T) -> T:
        return reader(path / name) if (path / name).is_file() else absent

    results: dict[str, Any] = read("results.json", _json, {})
    config: dict[str, Any] = read("config.yaml", read_yaml, {})
    own: dict[str, Any] = read("search/config.yaml", read_yaml, {})
    if "search" in own:
        config["search"] = own["search"]
    if config.get("space", "unknown") is None:
        missing = [name for name in missing if not name.startswith(SEARCHING)]
    return RunDir(
        path=path,
        config=config,
        config_text=read("config.yaml", Path.read_text, ""),
        results=results,
        networks=_networks(path, results),
        supernet=read("supernet/metrics.jsonl", read_metrics, []),
        ledger=tuple(read("search/ledger.jsonl", read_ledger, [])),
        front=read("search/pareto.json", lambda p: tuple(read_pareto(p)["front"]), None),
        generations=tuple(read("search/generations.jsonl", read_generations, [])),
        rank=read("rank.json", _json, None),
        sheet=read("sheet.png", Path.read_bytes, None),
        missing=tuple(missing),
    )


def _networks(path: Path, results: dict[str, Any]) -> tuple[Network, ...]:
    """The networks of ``results.json``, or else those whose seeds are there."""
    finals: dict[str, list[dict[str, Any]]] = defaultdict(list)
    curves: dict[str, list[Metrics]] = defaultdict(list)
    for file in sorted(path.glob("retrain/*/seed-*/result.json")):
        finals[file.parts[-3]].append(_json(file))
    for file in sorted(path.glob("retrain/*/seed-*/metrics.jsonl")):
        curves[file.parts[-3]].append(read_metrics(file))
    entries = results.get("networks")
    if entries is None:
        entries = [_mean(name, found) for name, found in finals.items()]
    try:
        return tuple(
            Network(
                name=entry["name"],
                kind=entry["kind"],
                values=entry,
                finals=tuple(finals[entry["name"]]),
                curves=tuple(curves[entry["name"]]),
            )
            for entry in entries
        )
    except (TypeError, KeyError) as error:
        raise DataError(
            f"{path / 'results.json'}: 'networks' must be a list of objects with name and kind "
            f"({error!r}); run the comparison again"
        ) from error


def _mean(name: str, finals: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What ``results.json`` would say of a network: means over the seeds that are there."""
    numbers = ("rank1", "rank5", "map", "rank1_local", "map_local", "train_seconds")
    means = {
        key: fmean(final[key] for final in finals)
        for key in numbers
        if all(final.get(key) is not None for final in finals)
    }
    return {
        **finals[0],
        **means,
        "name": name,
        "kind": finals[0].get("kind", ""),
        "seeds": [final.get("rank1") for final in finals],
        "seeds_map": [final.get("map") for final in finals],
    }


def _json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not JSON ({error}); run its stage again") from error
    if not isinstance(document, dict):
        raise DataError(f"{path}: must hold a JSON object; run its stage again")
    return document
