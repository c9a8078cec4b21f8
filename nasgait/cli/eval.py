"""``nasgait eval``: judge a trained network on any store."""

import argparse
from pathlib import Path
from typing import Any

from nasgait.cli import stage


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("--checkpoint", required=True, metavar="CKPT", help="trained network")
    parser.add_argument("--store", required=True, help="packed store whose test subset is judged")
    parser.add_argument(
        "--protocol",
        required=True,
        help="leave-one-out, casia-b, oumvlp (both also with -cross-view: one gallery of all "
        "views), grew, gait3d or hid",
    )
    parser.add_argument("--metric", default="euc", choices=("euc", "cos"), help="distance")
    parser.add_argument(
        "--gallery-ids", type=int, metavar="N", help="leave-one-out: identities in each gallery"
    )
    parser.add_argument(
        "--probes", metavar="JSON", help="gait3d: OpenGait's partition file, with its PROBE_SET"
    )
    parser.add_argument(
        "--distractors", action="store_true", help="grew: put distractors in the gallery"
    )
    parser.add_argument(
        "--rerank",
        action="store_true",
        help="grew, gait3d, hid: re-rank by k-reciprocal neighbours, three rounds of distances",
    )
    parser.add_argument("--max-frames", type=int, metavar="N", help="frames used of each sequence")
    parser.add_argument(
        "--precision", default="float32", choices=("float32", "bfloat16", "float16")
    )
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--submission", metavar="CSV", help="write grew's or hid's table")
    parser.add_argument("--truth", metavar="CSV", help="grew, hid: videoId,label of the probes")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> None:
    """Evaluate in this process."""
    from dataclasses import fields

    from nasgait.config.load import validate
    from nasgait.config.schema import EvaluationConfig
    from retrain.evaluate import evaluate

    given = {field.name: getattr(args, field.name) for field in fields(EvaluationConfig)}
    config = validate(given, EvaluationConfig, "nasgait eval")
    submission = Path(args.submission) if args.submission else None
    report = evaluate(Path(args.checkpoint), Path(args.store), config, args.device, submission)
    if not args.json:
        print("\n".join(text_table(report)))
    stage.print_json(report, args.json)


def text_table(values: dict[str, Any]) -> list[str]:
    """Names and values in two columns, tables within tables indented; the curve is left out."""
    rows = {name: value for name, value in values.items() if name != "cmc"}
    width = max(map(len, rows))
    lines = []
    for name, value in rows.items():
        if isinstance(value, dict):
            lines += [name, *(f"  {line}" for line in text_table(value))]
        elif isinstance(value, float):
            lines.append(f"{name:{width}}  {value:.2f} %")
        else:
            lines.append(f"{name:{width}}  {value}")
    return lines
