"""``nasgait run``: the whole way, from silhouettes to the report."""

import argparse
import json
import sys

from nasgait.cli import stage


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


def run(args: argparse.Namespace) -> None:
    """Check everything, print the plan, then run the stages that are left."""
    from nasgait.cli.pipeline import Pipeline
    from nasgait.cli.plan import plan
    from nasgait.cli.run_dir import forget_failed_start, refuse_other_config, refuse_other_store
    from nasgait.config.load import dump_config
    from nasgait.core.files import write_atomically
    from nasgait.data.prepare import prepare
    from nasgait.report.page import in_print
    from nasgait.report.rundir import read_run
    from nasgait.training.output_dir import claim, locked

    config = stage.read_config(args)
    pipeline = Pipeline(config, stage.default_out(args, config), args.nproc)
    refuse_other_config(pipeline)
    lines = list(plan(config, pipeline.out, args.nproc))
    if args.dry_run and args.json:
        print(json.dumps({"plan": lines}))
    else:
        print("\n".join(lines), file=sys.stdout if args.dry_run else sys.stderr)
    if args.dry_run:
        return
    claim(pipeline.out, resume=True)
    with locked(pipeline.out):
        write_atomically(pipeline.config_file, dump_config(config))
        try:
            store = prepare(config.data)
            refuse_other_store(pipeline, store)
            results = pipeline.everything(store)
        except BaseException:
            forget_failed_start(pipeline)
            raise
    stage.print_json(results, args.json)
    if not args.json:
        print("\n".join(in_print(read_run(pipeline.out))))
