"""Does the supernet order architectures as retraining does?  ``nasgait rank``."""

import csv
import logging
import math
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from nasgait.config.schema import ExperimentConfig
from nasgait.core.checksum import Damaged, read_checked, read_result
from nasgait.core.distributed import joined
from nasgait.core.errors import DataError
from nasgait.core.rng import generator
from nasgait.data.split import split_as
from nasgait.data.store import open_store
from nasgait.evaluation.statistics import chance_level, correlation_interval, kendall, spearman
from nasgait.report.differences import among, sentences
from search_spaces.architecture_ref import Architecture
from search_spaces.configured import space_of
from search_spaces.space import SearchSpace
from supernet.scoring.scorer import Scorer
from supernet.weights import load_supernet, warn_of_other_data

logger = logging.getLogger(__name__)

LEAST = 4
"""Architectures below which an order says nothing."""

TOP = 3
"""Best architectures whose overlap is reported."""


def rank(config: ExperimentConfig, supernet: Path, truth: Path) -> dict[str, Any]:
    """Score the architectures of a table of retrained ones and compare the orders.

    Scores are those of the configuration's ``search``.  The table ``truth`` is the
    ``results.json`` of a run, or a CSV with the columns ``arch`` and ``map``.  Returns what
    :func:`agreement` found, and as ``notes`` in what the networks were not retrained alike; raises
    NasgaitError for input that cannot be used.
    """
    weights = load_supernet(supernet, space_of(config, "nasgait rank").source)
    retrained = read_table(truth, weights.space, config.search.metric)
    store = open_store(config.data)
    split = split_as(store, config.data)
    warn_of_other_data(weights, store, split)
    with joined(config.device, config.threads) as world:
        scorer = Scorer(config, weights, store, split, world.device)
        scored = scorer.score_all([arch.choices for arch in retrained])
        found = {choices: metrics for choices, metrics, _ in scored}
    scores = [found[arch.choices][config.search.metric] for arch in retrained]
    report = agreement(retrained, scores, config.search.metric, config.seed)
    notes = unequal(truth, {str(arch) for arch in retrained})
    return report | {"left_out": store.left_out, "notes": notes}


def unequal(path: Path, archs: Collection[str]) -> list[str]:
    """In what the retrained architectures of a ``results.json`` are not alike, a sentence each."""
    if path.suffix != ".json":
        return ["How the architectures of the table were retrained is not recorded there."]
    document = read_result(path)
    names = {n["name"] for n in document["networks"] if n.get("arch") in archs and "name" in n}
    return sentences(among(document.get("differences", []), names))


def read_table(path: Path, space: SearchSpace, objective: str) -> dict[Architecture, float]:
    """The retrained value of each architecture, from ``results.json`` or a CSV.

    In ``results.json`` the searched network is left out: the search chose it for its score, and a
    chosen extreme is no fair witness of agreement.

    Raises:
        DataError: no such table, a row without its architecture or value, an architecture with two
            values, or fewer than four architectures.
        ConfigError: an architecture that the space does not have.
    """
    truth: dict[Architecture, float] = {}
    for place, row in rows_of(path, objective):
        if row.get("kind") == "searched" or row.get("arch", "") is None:
            continue
        for column in ("arch", objective):
            if column not in row:
                raise DataError(f"--truth {path}, {place}: has no {column}")
        arch, value = space.parse(str(row["arch"])), finite(row[objective])
        where = f"--truth {path}, {place}"
        if value is None:
            raise DataError(f"{where}: {objective} {row[objective]} is not a number")
        if truth.setdefault(arch, value) != value:
            raise DataError(
                f"{where}: {arch} is there twice, with {objective} {truth[arch]:g} and {value:g}; "
                "leave one of them"
            )
    if len(truth) < LEAST:
        raise DataError(
            f"--truth {path}: {len(truth)} architectures; an order needs {LEAST} or more"
        )
    return truth


def rows_of(path: Path, objective: str) -> list[tuple[str, dict[str, Any]]]:
    """The rows of the table, each with its place in words; DataError if it is none."""
    try:
        if path.suffix == ".json":
            networks = read_checked(path)["networks"]
            return [(f"networks.{i}", dict(network)) for i, network in enumerate(networks)]
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            return [(f"line {reader.line_num}", row) for row in reader]
    except OSError as error:
        raise DataError(f"--truth {path}: cannot be read ({error.strerror})") from error
    except Damaged as error:
        raise DataError(
            f"--truth {path}: damaged ({error}; the same nasgait run writes it again), or not a "
            f"results.json, nor a CSV with the columns arch,{objective}"
        ) from error
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise DataError(
            f"--truth {path}: not a results.json, nor a CSV with the columns arch,{objective}"
        ) from error


def finite(value: Any) -> float | None:
    """The value as a number, None if it is no finite one."""
    try:
        number = float(value)
    except (ValueError, TypeError):
        return None
    return number if math.isfinite(number) else None


def agreement(
    truth: dict[Architecture, float], scores: list[float], objective: str, seed: int
) -> dict[str, Any]:
    """Rank correlations with 95 % bootstrap intervals, chance levels and the overlap at the top."""
    retrained = list(truth.values())
    report: dict[str, Any] = {"objective": objective, "architectures": len(truth)}
    statistics: dict[str, Callable[[ArrayLike, ArrayLike], float]] = {
        "spearman": spearman,
        "kendall": kendall,
    }
    for name, statistic in statistics.items():
        interval = correlation_interval(statistic, scores, retrained, generator(seed, name))
        chance = chance_level(statistic, scores, retrained, generator(seed, name, "chance"))
        value, low, high = interval.mean, interval.low, interval.high
        report[name] = {"value": value, "low": low, "high": high, "p": chance}
    report[f"top{TOP}_overlap"] = len(set(best(scores)) & set(best(retrained))) / TOP
    report["table"] = [
        {"arch": str(arch), "supernet": score, "retrained": value}
        for (arch, value), score in zip(truth.items(), scores, strict=True)
    ]
    return report


def best(values: list[float]) -> list[int]:
    """Positions of the largest values."""
    return sorted(range(len(values)), key=lambda i: -values[i])[:TOP]


def words(report: dict[str, Any]) -> list[str]:
    """The report in print."""
    lines = [f"{'architecture':28} {'supernet':>9} {'retrained':>9}   ({report['objective']}, %)"]
    for row in sorted(report["table"], key=lambda row: -row["retrained"]):
        lines.append(f"{row['arch']:28} {row['supernet']:9.2f} {row['retrained']:9.2f}")
    for name in ("spearman", "kendall"):
        r = report[name]
        lines.append(
            f"{name} {r['value']:+.2f}, 95 % interval {r['low']:+.2f} to {r['high']:+.2f}, "
            f"by chance alone with p = {r['p']:.3f}"
        )
    lines.append(f"of the best {TOP}, both agree on {report[f'top{TOP}_overlap']:.0%}")
    return [*lines, *report.get("notes", ())]
