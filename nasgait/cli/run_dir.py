"""A run directory belongs to one configuration, but for what its stages can go on with."""

import contextlib
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from nasgait.cli.pipeline import Pipeline
from nasgait.config.differences import differences
from nasgait.config.load import load_recorded
from nasgait.config.schema import ExperimentConfig
from nasgait.core.checksum import read_result, write_checked
from nasgait.core.errors import ConfigError, DataError
from nasgait.data.split import fingerprint
from nasgait.data.store import GaitStore
from nasgait.training.changes import HARMLESS, SAFE, may_change
from nasgait.training.checkpoint import Checkpoints
from nasgait.training.output_dir import LOCK
from retrain.networks import baseline_networks

OF_A_STAGE = ("result.json", "ledger.jsonl", "checkpoints")
"""What lies at the top of a single stage's folder, and never at that of a run."""


LOG = "log.txt"
TRACES = ("config.yaml", "store.json", "sheet.png", LOG, LOCK)
"""What a stage that was refused may leave."""

STORE = "store.json"
"""The store that the run was begun with."""

RECIPE_KEY = re.compile(r"(supernet|retrain|baselines\.(\d+)\.(?:recipe|retrain))\.(.+)")
"""A key of a recipe: the section, the baseline's number if it is of one, the key within."""


def refuse_other_config(pipeline: Pipeline) -> None:
    """Keep a run directory to one configuration; ConfigError names the first keys that differ.

    Where the work is done may change (``data.workers``, ``search.backend``, ``search.ray``),
    ``data.on_damage``, which each stage compares with what it has trained on, and in a recipe what
    a training can be resumed with; networks that are finished stay as they are.
    The folder of a single stage is refused as well.
    """
    for name in OF_A_STAGE:
        if (pipeline.out / name).exists():
            raise ConfigError(
                f"--out {pipeline.out}: is the folder of a single stage ({name}), no run; give "
                "another --out"
            )
    if not pipeline.config_file.exists():
        if pipeline.out.exists() and (not pipeline.out.is_dir() or holds_other(pipeline)):
            raise ConfigError(f"--out {pipeline.out}: is not empty and no run; give another --out")
        return
    before, now = load_recorded(pipeline.config_file), pipeline.config
    before = replace(
        before,
        data=replace(before.data, workers=now.data.workers, on_damage=now.data.on_damage),
        search=replace(before.search, backend=now.search.backend, ray=now.search.ray),
    )
    changed = differences(asdict(before), asdict(now))
    recipes = {key for key in changed if is_resumable(key, now)}
    refused = {key: values for key, values in changed.items() if key not in recipes}
    if refused:
        first = dict(list(refused.items())[:4])
        more = f" and {len(refused) - 4} more" if refused.keys() - first.keys() else ""
        raise ConfigError(
            f"--out {pipeline.out}: was run with another configuration ({arrows(first)}{more}); "
            "give another --out, or the configuration that it began with; single stages "
            "can use what it has trained (nasgait search --supernet, nasgait eval ...); of recipes "
            f"{', '.join((*SAFE, *HARMLESS))} and, but for cosine and one-cycle, steps may change"
        )
    refuse_late_changes(pipeline, {key: changed[key] for key in recipes})


def refuse_other_store(pipeline: Pipeline, store: GaitStore) -> None:
    """Keep a run to one store, which may have grown or have been made again meanwhile: DataError.

    Else identities of search-val may be among those that trained the supernet, and networks are
    compared that were trained and evaluated on different sequences.
    """
    path = pipeline.out / STORE
    now = {"sequences": len(store), "frames": fingerprint(store, range(len(store)))}
    if not path.exists():
        write_checked(path, now)
        return
    before = read_result(path, "delete it if the store is the one that the run began with")
    if before != now:
        raise DataError(
            f"--out {pipeline.out}: was begun with another content of {store.path} "
            f"({before.get('sequences')} sequences, now {len(store)}); give another --out, or the "
            "store as it was"
        )


def is_resumable(key: str, config: ExperimentConfig) -> bool:
    """Whether a stage of the run can go on with another value of the key."""
    match = RECIPE_KEY.fullmatch(key)
    if match is None:
        return False
    section, number, inner = match.groups()
    if number is None:
        return may_change(inner, asdict(getattr(config, section)))
    networks = baseline_networks(config)
    if int(number) < len(networks):
        with contextlib.suppress(ConfigError):  # a recipe that no training can follow
            place, recipe = networks[int(number)].recipe(config)
            return place == section and may_change(inner, asdict(recipe))
    return False


def refuse_late_changes(pipeline: Pipeline, changed: dict[str, tuple[Any, Any]]) -> None:
    """ConfigError for a change of the supernet's recipe where the supernet is trained already."""
    late = {
        key: values
        for key, values in changed.items()
        if key.startswith("supernet.") and key.removeprefix("supernet.") not in HARMLESS
    }
    if not late:
        return
    newest = Checkpoints(pipeline.out / "supernet" / "checkpoints").newest()
    done = newest.step if newest else 0
    searched = (pipeline.out / "search" / "ledger.jsonl").exists()
    if searched or done >= pipeline.config.supernet.steps:
        state = "its search has begun" if searched else f"it has done {done} steps"
        raise ConfigError(
            f"--out {pipeline.out}: the supernet's recipe can no longer change, as {state} "
            f"({arrows(late)}); give another --out, or the recipe that it was trained by"
        )


def arrows(values: dict[str, tuple[Any, Any]]) -> str:
    """Keys with their old and new values in print."""
    return ", ".join(f"{key}: {old} -> {new}" for key, (old, new) in values.items())


def holds_other(pipeline: Pipeline) -> bool:
    """Whether the run directory holds anything but its store and the traces of a failed start."""
    store, out = Path(pipeline.config.data.store).resolve(), pipeline.out
    return any(
        path.is_file()
        and path.name not in TRACES
        and not path.relative_to(out).parts[0].startswith(".")
        and not path.resolve().is_relative_to(store)
        for path in out.rglob("*")
    )


def forget_failed_start(pipeline: Pipeline) -> None:
    """Remove what a run left that ended before it trained anything, so that another may begin.

    Its store, which took time to make, stays, and so do logs, which say why it ended.
    """
    store = Path(pipeline.config.data.store).resolve()
    left = [
        path
        for path in sorted(pipeline.out.rglob("*"), reverse=True)
        if not path.resolve().is_relative_to(store)
    ]
    files = [path for path in left if not path.is_dir()]
    if any(path.name not in TRACES and not path.name.startswith(".") for path in files):
        return
    for path in files:
        if path.name in TRACES and path.name != LOG:
            path.unlink()
    for folder in (*left, pipeline.out):
        if folder.is_dir():
            with contextlib.suppress(OSError):  # the store is in it, or what is not ours
                folder.rmdir()
