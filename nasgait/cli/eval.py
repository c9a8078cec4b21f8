"""``nasgait eval``: judge a trained network on any store."""

import argparse
import importlib

HELP = "evaluate a trained network on a store, also another than it was trained on"


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


def run(args: argparse.Namespace) -> int:
    """Evaluate in this process."""
    return importlib.import_module("retrain.evaluate").run(args)
