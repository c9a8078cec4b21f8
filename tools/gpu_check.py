"""Check nasgait on this machine's GPU: speed against the GPU's limits, and parity with a CPU.

    python tools/gpu_check.py --out FILE.json             # speed, under 7 minutes on an H100
    python tools/gpu_check.py --parity --out FILE.json    # every network against float64
    python tools/gpu_check.py --small --out FILE.json     # all of it on a CPU, to test the check

Each part runs in a process of its own, with a time limit, so one that fails or hangs does not stop
the others.  The file is written after each part.  Needs torch, numpy, OpenCV, numba, PyYAML,
pydantic and tqdm; ``tools/gpu_parts/wheels.sh`` fetches them for a machine without network.
Exit code 1: a part failed, or an error is beyond its bound.
"""

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

TOOLS = Path(__file__).resolve().parent
sys.path[:0] = [str(TOOLS), str(TOOLS.parent)]

SPEED = {
    "machine": ("measured_limits", 40),
    "step": ("measured_steps", 110),
    "convolutions": ("measured_convolutions", 100),
    "small_networks": ("measured_small_networks", 40),
    "scoring": ("measured_scoring", 70),
    "elementwise": ("measured_elementwise", 30),
}
"""Parts in the order they run, most important first: function and seconds to measure for."""
PARITY = {"machine": ("measured_limits", 40), "parity": ("measured_parity", 120)}
GRACE = 30
"""Seconds that a part may take beyond its limit, to finish the measurement in progress."""


def main() -> int:
    """Run the parts; print a table of each."""
    args = arguments()
    if args.part:
        return run_part(args)
    parts = PARITY if args.parity else SPEED | (PARITY if args.small else {})
    found: dict[str, Any] = {}
    for name, (_, seconds) in parts.items():
        began = time.monotonic()
        found[name] = in_process(name, seconds, args, found.get("machine", {}))
        found[name]["part_seconds"] = round(time.monotonic() - began, 1)
        write(args.out, found)
        print(f"\n== {name}, {found[name]['part_seconds']} s", flush=True)
        print("\n".join(lines_of(name, found[name])), flush=True)
    bad = [name for name, row in found.items() if "failed" in row]
    if "parity" in found and "failed" not in found["parity"]:
        bad += importlib.import_module("gpu_parts.parity").faults(found["parity"])
    print(f"\n{args.out}: " + (f"{len(bad)} faults" if bad else "no fault"))
    return 1 if bad else 0


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="JSON file for all results")
    parser.add_argument("--small", action="store_true", help="small sizes, on the CPU")
    parser.add_argument("--parity", action="store_true", help="errors instead of speed")
    parser.add_argument("--only", nargs="+", help="these parts alone", choices=[*SPEED, *PARITY])
    parser.add_argument("--networks", nargs="+", default=[], help="parity of these alone")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        for parts in (SPEED, PARITY):
            for name in {*parts} - {*args.only, "machine"}:
                del parts[name]
    return args


def in_process(
    name: str, seconds: float, args: argparse.Namespace, limits: dict[str, Any]
) -> dict[str, Any]:
    """Run one part in its own process; its results, or how it failed."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "found.json"
        out.write_text(json.dumps(limits))
        command = [sys.executable, str(TOOLS / "gpu_check.py"), "--part", name]
        command += ["--out", str(out), "--seconds", str(seconds)]
        command += ["--small"] if args.small else []
        command += ["--networks", *args.networks] if args.networks else []
        environment = {**os.environ, "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
        try:
            done = subprocess.run(command, env=environment, timeout=seconds + GRACE)
        except subprocess.TimeoutExpired:
            return {"failed": f"not finished after {seconds + GRACE:.0f} s"}
        if done.returncode:
            return {"failed": f"its process ended with {done.returncode}"}
        return json.loads(out.read_text())


def run_part(args: argparse.Namespace) -> int:
    """Measure one part in this process."""
    import torch
    from gpu_parts.machine import Task

    if not args.small and not torch.cuda.is_available():
        print("gpu_check: torch sees no GPU here; --small tries the check on a CPU")
        return 2
    device = torch.device("cpu" if args.small else "cuda")
    limits = json.loads(args.out.read_text())
    deadline = time.monotonic() + args.seconds
    task = Task(device, args.small, deadline, limits, tuple(args.networks))
    function = (SPEED | PARITY)[args.part][0]
    try:
        found = getattr(importlib.import_module(f"gpu_parts.{args.part}"), function)(task)
    except Exception as fault:
        traceback.print_exc()
        found = {"failed": f"{type(fault).__name__}: {fault}"[:1000]}
    write(args.out, found)
    return 0


def lines_of(name: str, found: dict[str, Any]) -> list[str]:
    """A part's table."""
    if "failed" in found:
        return [f"FAILED: {found['failed']}"]
    figures = {key: value for key, value in found.items() if key != "part_seconds"}
    try:
        return importlib.import_module(f"gpu_parts.{name}").table(figures)
    except Exception as fault:
        return [f"no table: {type(fault).__name__}: {fault}; the results are in the file"]


def write(path: Path, found: dict[str, Any]) -> None:
    """Write the results so far."""
    path.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
