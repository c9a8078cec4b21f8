"""``nasgait search``: evolution over a trained supernet, within budgets."""

import argparse
import json
import logging
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from tqdm import tqdm

from nasgait.cli import stage
from nasgait.cli.search import budget_overrides
from nasgait.config.load import load_config
from nasgait.config.schema import ExperimentConfig
from nasgait.data.split import Split, fingerprint, split_as
from nasgait.data.store import GaitStore
from nasgait.engine.distributed import joined, pick_device
from nasgait.engine.files import write_atomically
from nasgait.engine.logging import MetricsLog
from nasgait.engine.memory import peak_memory
from nasgait.engine.outdir import claim, locked, record
from nasgait.engine.precision import autocast
from nasgait.errors import CheckpointError
from nasgait.search.budget import Choices
from nasgait.search.evolution import Evolution, EvolutionConfig, Generation, SearchResult
from nasgait.search.ledger import Entry, Ledger
from nasgait.search.pareto import write_pareto
from search_spaces import load_space
from search_spaces.architecture import save_architecture
from search_spaces.budget import budget_of
from search_spaces.space import SearchSpace
from supernet.scoring import Scorer, scored_sequences
from supernet.weights import Weights, load_supernet

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Inputs:
    """All that the search reads, opened and checked."""

    config: ExperimentConfig
    out: Path
    weights: Weights
    store: GaitStore
    parts: Split
    evolution: Evolution

    @property
    def space(self) -> SearchSpace:
        """The search space."""
        return self.weights.space


def check(args: argparse.Namespace) -> Inputs:
    """Open every input; refuse an infeasible budget before anything is scored."""
    config = load_config(args.config, [*args.overrides, *budget_overrides(args)])
    space = stage.space_of(config, "nasgait search")
    evolution = evolution_of(config, load_space(space))
    store = GaitStore.open(config.data.store)
    parts = split_as(store, config.data)
    scored_sequences(store, parts, config.search.max_sequences)
    weights = load_supernet(args.supernet, space)
    autocast(pick_device(config.device), config.search.precision)
    out = stage.default_out(args, config, "search")
    claim(out, args.resume)
    inputs = Inputs(config, out, weights, store, parts, evolution)
    refuse_other_scores(inputs)
    return inputs


def refuse_other_scores(inputs: Inputs) -> None:
    """A ledger holds scores that were measured alike; refuse to add others to it.

    Raises CheckpointError naming what differs.
    """
    config, parts = inputs.config, inputs.parts
    settings = ("objective", "calibration", "max_sequences", "max_frames", "precision")
    measured = {
        "supernet": inputs.weights.sha256,
        "data": fingerprint(inputs.store, [*parts.train, *parts.search_val]),
        "search_val": fingerprint(inputs.store, parts.search_val),
        "seed": config.seed,
        "metric": config.evaluation.metric,
        **{name: asdict(config.search)[name] for name in settings},
    }
    note = inputs.out / "scoring.json"
    if not note.exists():
        write_atomically(note, json.dumps(measured, indent=1) + "\n")
        return
    before = json.loads(note.read_text())
    changed = [name for name, value in measured.items() if before.get(name) != value]
    if changed:
        raise CheckpointError(
            f"{inputs.out}: its scores were measured with another {', '.join(changed)}; resume "
            "with the same, or give another --out"
        )


def evolution_of(config: ExperimentConfig, space: SearchSpace) -> Evolution:
    """The search that the configuration describes; raises BudgetError when none can meet it."""
    search = config.search
    settings = EvolutionConfig(
        population=search.population,
        top_k=search.top_k,
        mutations=search.mutations,
        crossovers=search.crossovers,
        mutation_prob=search.mutation_prob,
        max_epochs=search.max_epochs,
        objective=search.objective,
    )
    return Evolution(budget_of(space, search), settings, config.seed)


def run(args: argparse.Namespace) -> int:
    """Search, rank every generation, write the winner and the front."""
    inputs = check(args)
    config, out = inputs.config, inputs.out
    with joined(config.device, config.threads) as world, locked(out):
        record(out, config)
        scorer = Scorer(config, inputs.weights, inputs.store, inputs.parts, world.device)
        result = evolve(inputs, scorer)
    best = write_results(inputs, result)
    if result.ended_early:
        logger.info("ended early: %s", result.ended_early)
    logger.info("best: %s, %s %.2f %%", best["arch"], config.search.objective, best["score"])
    if args.json:
        json.dump(best | {"ended_early": result.ended_early}, sys.stdout)
        print()
    return 0


def evolve(inputs: Inputs, scorer: Scorer) -> SearchResult:
    """Run the evolution behind a progress bar; each score is in the ledger at once."""
    config = inputs.config.search
    ledger = Ledger.open(inputs.out / "ledger.jsonl")
    total = config.population * (1 + config.max_epochs)
    logger.info(
        "plan: at most %d architectures, %d scored before; each is recalibrated on %d sequences "
        "and scored on %d (%s); time and memory follow after the first",
        total,
        len(ledger.entries),
        scorer.calibrated_on,
        len(scorer.indices),
        config.precision,
    )

    def score(choices: Choices, generation: int) -> dict[str, float]:
        rates = scorer.score(choices)
        progress.scored()
        return {"rank1": rates["rank1"], "map": rates["map"]}

    with Progress(inputs, total, len(ledger.entries), scorer.device) as progress:
        return inputs.evolution.run(score, ledger, progress.generation)


class Progress:
    """How the search comes along: a bar, the cost of a score, metrics of each generation."""

    def __init__(self, inputs: Inputs, total: int, done: int, device: torch.device) -> None:
        self._evolution, self._objective = inputs.evolution, inputs.config.search.objective
        self._bar = tqdm(total=total, initial=done, unit="arch")
        self._metrics = MetricsLog(inputs.out, -1)
        self._best: tuple[Entry, ...] = ()
        self._device = device
        self._left, self._announced = total - done, False

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()
        self._metrics.close()

    def scored(self) -> None:
        """One more architecture; after the first, say what the rest will cost."""
        self._bar.update()
        self._left -= 1
        if not self._announced:
            self._announced = True
            pace = self._bar.format_dict["elapsed"]
            logger.info(
                "cost: %.1f s an architecture, about %.1f minutes to go; peak memory %.2f GiB",
                pace,
                pace * self._left / 60,
                peak_memory(self._device) / 2**30,
            )

    def generation(self, generation: Generation) -> None:
        """A generation is scored: its best, its median and the best so far."""
        self._best = self._evolution.rank([*self._best, *generation.entries])[:1]
        scores = [entry.values[self._objective] for entry in generation.entries]
        best = self._best[0].values[self._objective]
        values = {"best": best, "generation_best": max(scores), "generation_median": median(scores)}
        self._metrics.log(generation.number, values)
        self._bar.set_postfix_str(f"generation {generation.number}, best {best:.1f} %")


def write_results(inputs: Inputs, result: SearchResult) -> dict[str, Any]:
    """Write ``pareto.json``, then ``best.yaml``, whose presence says that the search is over."""
    objective, space = inputs.config.search.objective, inputs.space
    write_pareto(inputs.out / "pareto.json", result.ranking, (objective,), ("macs", "params"))
    winner = result.best
    origin = {
        "supernet_sha256": inputs.weights.sha256,
        "search_seed": inputs.config.seed,
        "generation": winner.generation,
    }
    arch = space.architecture(winner.choices)
    save_architecture(
        inputs.out / "best.yaml",
        space,
        arch,
        frames=inputs.config.search.frames,
        score={"objective": objective, "value": winner.values[objective]},
        origin=origin,
    )
    return {"arch": str(arch), "score": winner.values[objective], **winner.values, **origin}
