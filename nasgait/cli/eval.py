"""``nasgait eval``: evaluate a trained network on any store."""

import argparse
from pathlib import Path
from typing import Any

from nasgait.cli import stage


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command; the list of protocols says which options each one takes."""
    from nasgait.evaluation.protocols import PROTOCOLS, that_accept

    def only(option: str, text: str) -> str:
        return f"{that_accept(option)}: {text}"

    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    lines = [f"  {name:18}  {protocol.description}" for name, protocol in PROTOCOLS.items()]
    parser.epilog = "\n".join(["protocols:", *lines])
    parser.add_argument("--checkpoint", required=True, metavar="CKPT", help="trained network")
    parser.add_argument("--store", required=True, help="packed store; its test subset is used")
    parser.add_argument("--protocol", required=True, metavar="P", help="one of those below")
    parser.add_argument("--metric", default="euc", choices=("euc", "cos"), help="distance")
    galleries = only("gallery_ids", "identities in each gallery")
    parser.add_argument("--gallery-ids", type=int, metavar="N", help=galleries)
    probes = only("probes", "OpenGait's partition file, with its PROBE_SET")
    parser.add_argument("--probes", metavar="JSON", help=probes)
    distractors = only("distractors", "put distractors in the gallery")
    parser.add_argument("--distractors", action="store_true", help=distractors)
    rerank = only("rerank", "re-rank by k-reciprocal neighbours, three rounds of distances")
    parser.add_argument("--rerank", action="store_true", help=rerank)
    parser.add_argument("--max-frames", type=int, metavar="N", help="frames used of each sequence")
    parser.add_argument(
        "--precision", default="float32", choices=("float32", "bfloat16", "float16")
    )
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    stage.add_on_damage(parser)
    table = only("truth", "write the table to submit")
    parser.add_argument("--submission", metavar="CSV", help=table)
    truth = only("truth", "videoId,label of the probes")
    parser.add_argument("--truth", metavar="CSV", help=truth)
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
    places = Path(args.checkpoint), Path(args.store)
    report = evaluate(*places, config, args.device, submission, args.on_damage)
    if not args.json:
        print("\n".join(text_table(report)))
    stage.print_json(report, args.json)


def text_table(values: dict[str, Any]) -> list[str]:
    """Names and values in two columns, tables within tables indented, notes below.

    The curve is left out.
    """
    rows = {name: value for name, value in values.items() if name not in ("cmc", "notes")}
    width = max(map(len, rows))
    lines = []
    for name, value in rows.items():
        if name == "left_out":
            lines += [f"{name:{width}}  {', '.join(value)}"] if value else []
        elif isinstance(value, dict):
            lines += [name, *(f"  {line}" for line in text_table(value))]
        elif isinstance(value, float):
            lines.append(f"{name:{width}}  {value:.2f} %")
        else:
            shown = ", ".join(map(str, value)) if isinstance(value, list) else value
            lines.append(f"{name:{width}}  {shown}")
    return [*lines, *values.get("notes", ())]
