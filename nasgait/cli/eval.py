"""``nasgait eval``: judge a trained network on any store."""

import argparse
import importlib

HELP = "evaluate a trained network on a store, also another than it was trained on"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("--checkpoint", required=True, metavar="CKPT", help="trained network")
    parser.add_argument("--store", required=True, help="packed store whose test subset is judged")
    parser.add_argument("--protocol", required=True, help="leave-one-out or grew")
    parser.add_argument("--metric", default="euc", choices=("euc", "cos"), help="distance")
    parser.add_argument(
        "--gallery-ids", type=int, metavar="N", help="leave-one-out: identities in each gallery"
    )
    parser.add_argument("--max-frames", type=int, metavar="N", help="frames used of each sequence")
    parser.add_argument(
        "--precision", default="float32", choices=("float32", "bfloat16", "float16")
    )
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--submission", metavar="CSV", help="grew: write videoId,rank1..rank20")
    parser.add_argument("--truth", metavar="CSV", help="grew: videoId,label of the probes")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    """Evaluate in this process."""
    return importlib.import_module("retrain.evaluate").run(args)
