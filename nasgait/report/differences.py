"""In what the trainings and evaluations of networks differ that are compared with each other."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

Result = dict[str, Any]
Difference = dict[str, Any]

NO_MATTER = ("checkpoint_every", "keep", "log_every", "channels_last")
"""Keys of a recipe that do not change what is trained."""

TRAINED = (
    "steps", "label_rate", "freeze", "init", "data", "left_out", "threads", "ranks", "device",
)  # fmt: skip
"""What else two trainings share when only their networks differ: steps as taken, the weights they
start from, the fingerprint of the training sequences, damaged ones left out, the machine."""

SHORT = 8
"""Digits of a fingerprint that are shown."""

MANY = 3
"""Networks that a sentence names before it says "the others"."""

UNRECORDED = "not recorded"


def differences(networks: Mapping[str, Sequence[Result]]) -> list[Difference]:
    """What differs among networks, each with the ``result.json`` of its seeds.

    Returns objects ``{"key", "values": {NAME: value}}``, where a value that changes from seed to
    seed is an object of ``seed-N``.  Keys are those of a result (``recipe.optimizer.lr``,
    ``steps``, ``evaluation.metric``, ``seeds``), and ``recipe_changes`` for networks whose recipe
    was changed on the way, however many they are.
    """
    flat = {
        name: {str(result.get("seed")): settings(result) for result in results}
        for name, results in networks.items()
    }
    keys = dict.fromkeys(key for seeds in flat.values() for one in seeds.values() for key in one)
    found = [
        {"key": key, "values": {name: _value(seeds, key) for name, seeds in flat.items()}}
        for key in keys
        if _differ(flat, key)
    ]
    seeds = {name: sorted(r["seed"] for r in results) for name, results in networks.items()}
    if len({tuple(numbers) for numbers in seeds.values()}) > 1:
        found.append({"key": "seeds", "values": seeds})
    changed = {name: lines for name, results in networks.items() if (lines := _changes(results))}
    return [*found, *([{"key": "recipe_changes", "values": changed}] if changed else [])]


def settings(result: Result) -> dict[str, Any]:
    """What decides a training and its evaluation, in dotted keys."""
    recipe = result.get("recipe")
    flat = flatten(recipe, "recipe") if recipe else {"recipe": UNRECORDED}
    flat = {key: value for key, value in flat.items() if key.rpartition(".")[2] not in NO_MATTER}
    if "steps" in result:
        flat.pop("recipe.steps", None)  # what was taken counts, not what was planned
    taken = {key: result[key] for key in TRAINED if key in result}
    if taken.get("data"):
        taken["data"] = str(taken["data"])[:SHORT]
    if left_out := taken.get("left_out"):
        taken["left_out"] = f"{len(left_out)}, {left_out[0]} first"
    evaluated = flatten(result.get("evaluation") or {}, "evaluation")
    if "probes" in result:
        evaluated["evaluation.probes"] = result["probes"]
    return taken | flat | evaluated


def flatten(value: Any, path: str) -> dict[str, Any]:
    """Nested sections as dotted keys; values as JSON has them."""
    if not isinstance(value, dict):
        return {path: json.loads(json.dumps(value))}
    return {
        k: v for name, inner in value.items() for k, v in flatten(inner, f"{path}.{name}").items()
    }


def _differ(flat: Mapping[str, Mapping[str, dict[str, Any]]], key: str) -> bool:
    """Whether networks differ in ``key``, seed by seed where they have seeds in common."""
    if key == "recipe":  # of some it is not recorded
        return len(flat) > 1
    recorded = [seeds for seeds in flat.values() if any(key in one for one in seeds.values())]
    if key.startswith("recipe.") or key in TRAINED:
        flat = {str(i): seeds for i, seeds in enumerate(recorded)}  # the rest is "not recorded"
    common = set.intersection(*(set(seeds) for seeds in flat.values()))
    for seed in common:
        if len({repr(seeds[seed].get(key)) for seeds in flat.values()}) > 1:
            return True
    if key == "data":  # the seed draws which identities keep their labels
        return False
    return len({repr(one.get(key)) for seeds in flat.values() for one in seeds.values()}) > 1


def _value(seeds: Mapping[str, dict[str, Any]], key: str) -> Any:
    """A network's value, or one for each seed."""
    by_seed = {f"seed-{seed}": one.get(key) for seed, one in seeds.items()}
    values = list(by_seed.values())
    return values[0] if all(value == values[0] for value in values) else by_seed


def _changes(results: Sequence[Result]) -> list[dict[str, Any]]:
    """The changes of the recipe while a network trained, with their seeds."""
    return [
        {"seed": result.get("seed"), **change}
        for result in results
        for change in result.get("recipe_changes") or []
        if str(change.get("key")).rpartition(".")[2] not in NO_MATTER
    ]


def among(found: Sequence[Difference], names: Collection[str]) -> list[Difference]:
    """The differences that are left among some of the networks."""
    left = []
    for line in found:
        values = {name: value for name, value in line["values"].items() if name in names}
        changes = line["key"] == "recipe_changes" or any(
            isinstance(v, dict) for v in values.values()
        )
        if len({repr(value) for value in values.values()}) > 1 or (values and changes):
            left.append({"key": line["key"], "values": values})
    return left


def sentences(found: Sequence[Difference]) -> list[str]:
    """The differences in words, a sentence for each kind; none without differences."""
    kinds: dict[str, list[str]] = {}
    for difference in found:
        key, values = difference["key"], difference["values"]
        if key == "recipe_changes":
            lines = "; ".join(_changes_in_words(*item) for item in values.items())
            kinds.setdefault("Recipes were changed on the way", []).append(lines)
        elif key == "recipe":
            unknown = [name for name, value in values.items() if value]
            whose = "any network" if len(unknown) == len(values) else ", ".join(unknown)
            kinds.setdefault("Recipes are not recorded", []).append(whose)
        elif key.startswith("evaluation."):
            word = key.removeprefix("evaluation.")
            kinds.setdefault("Not evaluated alike", []).append(f"{word} ({_in_words(values)})")
        elif key == "seeds":
            kinds.setdefault("Not trained with the same seeds", []).append(_in_words(values))
        else:
            word = "training data" if key == "data" else key.removeprefix("recipe.")
            kinds.setdefault("Not trained alike", []).append(f"{word} ({_in_words(values)})")
    end = {
        "Not trained alike": "; a difference in metrics may come from that, not from the networks"
    }
    return [f"{kind}: {', '.join(words)}{end.get(kind, '')}." for kind, words in kinds.items()]


def _in_words(values: Mapping[str, Any]) -> str:
    """``137: searched; 800: gaitset-nano``; the most, if they are many, are "the others"."""
    groups: dict[str, list[str]] = {}
    for name, value in values.items():
        groups.setdefault(_plain(value), []).append(name)
    ordered = sorted(groups.items(), key=lambda item: len(item[1]))
    words = [f"{value}: {', '.join(names)}" for value, names in ordered]
    if len(groups) > 1 and len(ordered[-1][1]) > MANY:
        words[-1] = f"{ordered[-1][0]}: the others"
    return "; ".join(words)


def _plain(value: Any) -> str:
    """A value as people read it, cut short."""
    if isinstance(value, dict):
        return ", ".join(f"{_plain(inner)} with {name}" for name, inner in value.items())
    if isinstance(value, list):
        return " ".join(map(_plain, value)) or "none"
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)[:40]


def _changes_in_words(name: str, lines: Sequence[dict[str, Any]]) -> str:
    """``searched, seed 0: optimizer.lr from 0.1 to 0.05 at step 300``."""
    return ", ".join(
        f"{name}, seed {line['seed']}: {line.get('key')} from {_plain(line.get('before'))} to "
        f"{_plain(line.get('after'))} at step {line.get('step')}"
        for line in lines
    )
