"""A run in memory, made of a few round numbers that a test can reckon with."""

from pathlib import Path

from nasgait.report.rundir import Network, RunDir
from nasgait.search.ledger import LedgerEntry


def run_of(**parts):
    """A run that holds what is given and nothing else."""
    nothing = {
        "path": Path("runs/x"),
        "config": {},
        "config_text": "",
        "results": {},
        "networks": (),
        "supernet": [],
        "ledger": (),
        "front": None,
        "generations": (),
        "rank": None,
        "sheet": None,
        "missing": (),
    }
    return RunDir(**{**nothing, **parts})


def network(name, kind="random", results=(), **values):
    """A network of 40 M MACs and 200 K params, at rank-1 70 % and mAP 50 %."""
    usual = {
        "name": name,
        "kind": kind,
        "arch": f"nano:{name}",
        "model": None,
        "macs": 40_000_000,
        "params": 200_000,
        "rank1": 70.0,
        "map": 50.0,
        "frames": 16,
        "size": [32, 22],
        "train_seconds": 75.0,
        "seeds": [70.0],
        "seeds_map": [50.0],
    }
    return Network(name, kind, {**usual, **values}, tuple(results))


def entry(choices, generation=0, seconds=0.0, **values):
    """A scored architecture."""
    usual = {"map": 50.0, "rank1": 70.0, "macs": 40_000_000, "params": 200_000}
    return LedgerEntry(choices, generation, {**usual, **values}, seconds)
