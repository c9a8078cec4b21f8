"""``nasgait run``: the whole way, from silhouettes to the report."""

import argparse
import json
import sys
from dataclasses import asdict, replace
from typing import Any

from nasgait.cli import stage
from nasgait.cli.pipeline import Pipeline
from nasgait.cli.plan import plan
from nasgait.config.load import dump_config, load_recorded
from nasgait.config.schema import ExperimentConfig
from nasgait.core.errors import ConfigError
from nasgait.core.files import write_atomically
from nasgait.report.formatting import text_table
from nasgait.training.output_dir import claim, is_used, locked

OF_A_STAGE = ("result.json", "ledger.jsonl", "checkpoints")
"""What lies at the top of a single stage's folder, and never at that of a run."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("config", metavar="CONFIG", help="experiment: YAML file or name")
    stage.add_overrides(parser)
    parser.add_argument("--out", metavar="DIR", help="run directory (default: runs/<name>)")
    parser.add_argument(
        "--dry-run", action="store_true", help="print the plan, check all inputs, start nothing"
    )
    stage.add_nproc(parser, " for the supernet, and for each final network when jobs is 1")
    parser.add_argument("--json", action="store_true", help="print results.json at the end")


def run(args: argparse.Namespace) -> int:
    """Check everything, print the plan, then run the stages that are left."""
    config = stage.read_config(args)
    pipeline = Pipeline(config, stage.default_out(args, config), args.nproc)
    refuse_other_config(pipeline)
    lines = list(plan(config, pipeline.out, args.nproc))
    if args.dry_run and args.json:
        print(json.dumps({"plan": lines}))
    else:
        print("\n".join(lines), file=sys.stdout if args.dry_run else sys.stderr)
    if args.dry_run:
        return 0
    claim(pipeline.out, resume=True)
    with locked(pipeline.out):
        write_atomically(pipeline.config_file, dump_config(config))
        results = pipeline.everything()
    stage.print_json(results, args.json)
    if not args.json and "study" in results:
        print("\n".join(text_table(results["study"])))
    return 0


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

    Where the work is done may change: ``data.workers``, ``search.backend`` and ``search.ray``.
    The folder of a single stage is refused as well.
    """
    for name in OF_A_STAGE:
        if (pipeline.out / name).exists():
            raise ConfigError(
                f"--out {pipeline.out}: is the folder of a single stage ({name}), no run; give "
                "another --out"
            )
    if not pipeline.config_file.exists():
        if pipeline.out.exists() and (not pipeline.out.is_dir() or is_used(pipeline.out)):
            raise ConfigError(f"--out {pipeline.out}: is not empty and no run; give another --out")
        return
    before, now = load_recorded(pipeline.config_file), pipeline.config
    before = replace(
        before,
        data=replace(before.data, workers=now.data.workers),
        search=replace(before.search, backend=now.search.backend, ray=now.search.ray),
    )
    if before != now:
        changed = differences(before, now)
        more = f" and {len(changed) - 4} more" if changed[4:] else ""
        raise ConfigError(
            f"--out {pipeline.out}: was run with another configuration "
            f"({', '.join(changed[:4])}{more}); give another --out, or the configuration that it "
            "began with; what it has trained can be used by the single stages (nasgait search "
            "--supernet, nasgait eval ...)"
        )
