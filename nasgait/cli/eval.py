"""``nasgait eval``: evaluate a trained network on any store."""

import argparse
import importlib

HELP = "evaluate a trained network on a store, also another than it was trained on"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command; what depends on the protocol follows from the list of them."""
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
    table = only("truth", "write the table to submit")
    parser.add_argument("--submission", metavar="CSV", help=table)
    truth = only("truth", "videoId,label of the probes")
    parser.add_argument("--truth", metavar="CSV", help=truth)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    """Evaluate in this process."""
    return importlib.import_module("retrain.evaluate").run(args)
