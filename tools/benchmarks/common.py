"""What several benchmarks need: fresh processes, ratios and a population."""

import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from nasgait.core.rng import generator
from search_spaces.space import SearchSpace


def run_alone(script: str, words: Sequence[str]) -> Any:
    """Run a script with these arguments in a fresh process; the last line it prints is JSON."""
    command = [sys.executable, script, *words]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def speed_up(before: Sequence[float], after: Sequence[float]) -> dict[str, Any]:
    """The ratio of each round, and their median: machines drift, so rounds are compared alone."""
    ratios = [a / b for a, b in zip(before, after, strict=True)]
    return {"ratio": statistics.median(ratios), "ratios": [round(ratio, 2) for ratio in ratios]}


def population(space: SearchSpace, count: int) -> list[tuple[int, ...]]:
    """Distinct random architectures: ``count`` of them, or all that the space has."""
    rng, chosen = generator(0, "population"), set()
    while len(chosen) < min(count, space.paths):
        chosen.add(space.sample(rng).choices)
    return sorted(chosen)
