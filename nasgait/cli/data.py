"""``nasgait data``: make a store, check it, look at it."""

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from nasgait.cli import stage
from nasgait.data.importers import import_dataset
from nasgait.data.layouts import LAYOUTS, PUBLISHED
from nasgait.data.readers import Options
from nasgait.data.sheet import contact_sheet
from nasgait.data.store import GaitStore, check_store, has_checksums
from nasgait.data.store_masks import mask_faults
from nasgait.data.synthetic.dataset import write_dataset


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the four subcommands."""
    commands = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _add_synth(_subcommand(commands, "synth", "make the embedded dataset of procedural walkers"))
    _add_import(_subcommand(commands, "import", "import a raw dataset; the same command resumes"))
    check = _subcommand(commands, "check", "list every fault of a store; exit 1 if there is one")
    sheet = _subcommand(commands, "sheet", "draw sequences of a store as a PNG")
    for command in (check, sheet):
        command.add_argument("store", type=Path, help="the store's directory")
    stage.add_on_damage(sheet)
    sheet.add_argument("--out", type=Path, required=True, metavar="PNG", help="file to write")
    sheet.add_argument("--rows", type=int, default=12, help="sequences (default: %(default)s)")
    sheet.add_argument(
        "--columns", type=int, default=12, help="frames of each (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Run the subcommand and return the exit code."""
    actions = {"synth": _synth, "import": _import, "check": _check, "sheet": _sheet}
    return actions[args.action](args)


def _subcommand(commands: Any, name: str, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    return parser


def _add_synth(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="STORE", help="new directory")
    parser.add_argument(
        "--preset", choices=("wild", "wild-mini", "lab"), default="wild", help="(default: wild)"
    )
    parser.add_argument("--ids", type=int, help="identities (default: the preset's)")
    parser.add_argument("--seqs", type=int, help="sequences of each (default: the preset's)")
    parser.add_argument("--seed", type=int, default=0, help="(default: 0)")
    parser.add_argument("--workers", type=int, help="processes (default: all cores)")


def _add_import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--layout",
        choices=tuple(LAYOUTS),
        required=True,
        help="how the folders are arranged: "
        + "; ".join(f"{layout.name}: {layout.folders}" for layout in LAYOUTS.values()),
    )
    parser.add_argument("--root", type=Path, required=True, help="the dataset's folder")
    parser.add_argument("--out", type=Path, required=True, metavar="STORE", help="directory")
    parser.add_argument("--workers", type=int, help="processes (default: all cores)")
    parser.add_argument("--bits", type=int, choices=(1, 8), help="per pixel (default: 8)")
    parser.add_argument(
        "--size",
        type=int,
        help="height and width in pixels; 128 for networks that take 128 x 88 (default: 64)",
    )
    parser.add_argument(
        "--partition",
        metavar="NAME|JSON",
        help=f"who trains and tests: {', '.join(PUBLISHED)}, or OpenGait's JSON (TRAIN_SET, "
        "TEST_SET); by default the layout's published one; without one a JSON is needed for "
        + ", ".join(name for name, layout in LAYOUTS.items() if layout.partition_source),
    )
    parser.add_argument(
        "--data-in-use",
        metavar="LIST",
        type=_flags,
        default=(),
        help="opengait-pkl with several pickles in a folder: which one, in the order of their "
        "names, is that of the silhouettes, as true,false,... or its number from 0",
    )
    parser.add_argument(
        "--append",
        action="store_true",
        help="add to the store at --out, which stays as it was until all is there; size and bits "
        "are the store's",
    )
    parser.add_argument(
        "--modality",
        metavar="NAME",
        help="folders with several files of a sequence: which one by name; sils takes "
        "000-sils.pkl, png the PNG files where there are JPG ones too",
    )
    _add_pixels(parser)
    parser.add_argument("--strict", action="store_true", help="exit 1 if anything was not imported")


def _add_pixels(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--threshold",
        type=int,
        metavar="N",
        help="pixels at or above it (1 to 255) are the person; by default values are understood "
        "where that is certain: 0 and 1, two colours, 0 to 255",
    )
    parser.add_argument(
        "--invert",
        action=argparse.BooleanOptionalAction,
        help="the person is darker than the background, or is not (default: found out)",
    )
    parser.add_argument(
        "--alpha",
        action=argparse.BooleanOptionalAction,
        help="the alpha channel is the mask, or is not (default: found out)",
    )
    parser.add_argument(
        "--skip-frames",
        action="store_true",
        help="leave out a frame that cannot be read, not its whole sequence",
    )


def _flags(text: str) -> tuple[bool | int, ...]:
    """``true,false`` or ``0`` as flags or numbers."""
    words = {"true": True, "false": False}
    try:
        return tuple(words[w] if w in words else int(w) for w in text.lower().split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither flags (true,false) nor a number (0)"
        ) from None


def _synth(args: argparse.Namespace) -> int:
    write_dataset(args.out, args.preset, args.ids, args.seqs, args.seed, args.workers)
    counts = GaitStore.open(args.out).meta["counts"]
    subsets = ", ".join(f"{name} {number}" for name, number in counts["subsets"].items())
    text = (
        f"{args.out}: {counts['sequences']} sequences ({subsets}) of {counts['identities']} "
        f"identities, {counts['frames']} frames"
    )
    _print(args, {"store": str(args.out)} | counts, text)
    return 0


def _import(args: argparse.Namespace) -> int:
    summary = import_dataset(
        args.layout,
        args.root,
        args.out,
        bits=args.bits,
        size=(args.size, args.size) if args.size is not None else None,
        workers=args.workers,
        partition=args.partition,
        data_in_use=args.data_in_use,
        append=args.append,
        options=Options(
            modality=args.modality,
            threshold=args.threshold,
            invert=args.invert,
            alpha=args.alpha,
            skip_frames=args.skip_frames,
        ),
    )
    for note in summary.notes:
        print(f"note: {note}", file=sys.stderr)
    for fault in summary.faults:
        print(f"not imported: {fault}", file=sys.stderr)
    text = f"{args.out}: {summary.sequences} sequences, {summary.frames} frames"
    if summary.already_complete:
        text += "; the store was complete already, nothing to do"
    if summary.added:
        text += f"; {summary.added} of them added"
    if summary.resumed:
        text += f"; {summary.resumed} sequences were there from an earlier run"
    if summary.dropped:
        text += f"; {summary.dropped} frames that show nothing dropped"
    if summary.faults:
        text += f"; {len(summary.faults)} faults, named above"
    _print(args, {"store": str(args.out)} | dataclasses.asdict(summary), text)
    return 1 if args.strict and summary.faults else 0


def _check(args: argparse.Namespace) -> int:
    faults = check_store(args.store, lambda name: print(f"check: reading {name}", file=sys.stderr))
    faults = faults or mask_faults(GaitStore.open(args.store))
    text = "\n".join(faults) or f"{args.store}: no faults"
    found = {"store": str(args.store), "faults": faults, "checksums": has_checksums(args.store)}
    if not found["checksums"]:
        print(
            "note: the store's format, nasgait-store/1, has no checksums of frames: later damage "
            "is found by this command only; made again, or added to (data import --append), it "
            "has them",
            file=sys.stderr,
        )
    _print(args, found, text)
    return 1 if faults else 0


def _sheet(args: argparse.Namespace) -> int:
    store = GaitStore.open(args.store, args.on_damage)
    path = contact_sheet(store, args.out, args.rows, args.columns)
    left_out = {"left_out": store.left_out} if store.left_out else {}
    _print(args, {"sheet": str(path)} | left_out, str(path))
    return 0


def _print(args: argparse.Namespace, result: dict[str, Any], text: str) -> None:
    print(json.dumps(result) if args.json else text)
