"""``result.json`` of a final network, checked before its numbers are used."""

from pathlib import Path
from typing import Any

from nasgait.core.checksum import read_result
from nasgait.core.errors import DataError

KINDS = ("searched", "baseline", "random", "uniform")
TEXTS = ("name", "kind", "arch", "model")
NUMBERS = (
    "seed", "steps", "macs", "params", "frames", "train_seconds",
    "rank1", "rank5", "rank10", "rank20", "map", "minp",
    "rank1_local", "rank5_local", "map_local", "rank1_nm", "rank1_bg", "rank1_cl",
)  # fmt: skip
LISTS = ("size", "cmc")


def read_network_result(path: Path, needed: tuple[str, ...] = ()) -> dict[str, Any]:
    """The result of a network and seed.

    Raises DataError for a damaged file: one that lacks ``needed`` keys, or has values of other
    types than those that are written.
    """
    result = read_result(
        path, "delete it, and nasgait run, or nasgait retrain --resume, writes it again"
    )
    faults = [f"{key} is missing" for key in needed if key not in result]
    for keys, kind, name in (
        (TEXTS, str, "text"),
        (NUMBERS, int | float, "a number"),
        (LISTS, list, "a list"),
    ):
        faults += [
            f"{key} is no {name.split()[-1]}"
            for key in keys
            if not (result.get(key) is None or _is(result[key], kind))
        ]
    faults += [
        f"{key} holds more than numbers"
        for key in LISTS
        if isinstance(result.get(key), list) and not all(_is(x, int | float) for x in result[key])
    ]
    if result.get("kind") not in (None, "", *KINDS):
        faults.append(f"kind is none of {', '.join(KINDS)}")
    if faults:
        raise DataError(
            f"{path}: damaged ({', '.join(faults[:4])}); delete it, and nasgait run, or nasgait "
            "retrain --resume, evaluates the network again"
        )
    return result


def _is(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
