"""A run directory belongs to one configuration."""

import contextlib
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from nasgait.cli.pipeline import Pipeline
from nasgait.config.load import load_recorded
from nasgait.config.schema import ExperimentConfig
from nasgait.core.errors import ConfigError
from nasgait.training.output_dir import LOCK

OF_A_STAGE = ("result.json", "ledger.jsonl", "checkpoints")
"""What lies at the top of a single stage's folder, and never at that of a run."""


TRACES = ("config.yaml", "sheet.png", "log.txt", LOCK)
"""What a stage that was refused may leave."""


def differences(before: ExperimentConfig, now: ExperimentConfig) -> list[str]:
    """``key: old -> new`` for each key that differs."""
    old, new = (flatten(asdict(config)) for config in (before, now))
    return [
        f"{key}: {old.get(key)} -> {new.get(key)}"
        for key in dict.fromkeys([*old, *new])
        if old.get(key) != new.get(key)
    ]


def flatten(value: Any, path: str = "") -> dict[str, Any]:
    """Nested sections and lists as dotted keys."""
    if isinstance(value, dict):
        items = [(str(key), inner) for key, inner in value.items()]
    elif isinstance(value, list | tuple) and any(isinstance(inner, dict) for inner in value):
        items = [(str(number), inner) for number, inner in enumerate(value)]
    else:
        return {path: value}
    flat: dict[str, Any] = {}
    for key, inner in items:
        flat |= flatten(inner, f"{path}.{key}" if path else key)
    return flat


def refuse_other_config(pipeline: Pipeline) -> None:
    """Keep a run directory to one configuration; ConfigError names the first keys that differ.

    Where the work is done may change: ``data.workers``, ``search.backend`` and ``search.ray``; and
    ``data.on_damage``, which each stage compares with what it has trained on.
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
    if before != now:
        changed = differences(before, now)
        more = f" and {len(changed) - 4} more" if changed[4:] else ""
        raise ConfigError(
            f"--out {pipeline.out}: was run with another configuration ({', '.join(changed[:4])}"
            f"{more}); give another --out, or the configuration that it began with; single stages "
            "can use what it has trained (nasgait search --supernet, nasgait eval ...)"
        )


def holds_other(pipeline: Pipeline) -> bool:
    """Whether the run directory holds anything but its store and the hidden files of a start."""
    store = Path(pipeline.config.data.store).resolve()
    return any(
        not entry.name.startswith(".") and not store.is_relative_to(entry.resolve())
        for entry in pipeline.out.iterdir()
    )


def forget_failed_start(pipeline: Pipeline) -> None:
    """Remove what a run left that ended before it trained anything, so that another may begin.

    Its store, which took time to make, stays.
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
        if path.name in TRACES:
            path.unlink()
    for folder in (*left, pipeline.out):
        if folder.is_dir():
            with contextlib.suppress(OSError):  # the store is in it, or what is not ours
                folder.rmdir()
