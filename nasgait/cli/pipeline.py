"""The stages of ``nasgait run``, each a process of its own, in one run directory."""

import json
import logging
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import torch
from tqdm import tqdm

from nasgait.cli.plan import faults_of
from nasgait.config.differences import differences, listed
from nasgait.config.schema import ExperimentConfig, TrainConfig
from nasgait.core import interrupts
from nasgait.core.checksum import read_result
from nasgait.core.children import how_it_ended, run_child
from nasgait.core.distributed import share_of_threads
from nasgait.core.errors import NasgaitError, RunFailed
from nasgait.core.faults import raise_all
from nasgait.data.facts import DataFacts
from nasgait.data.sheet import contact_sheet
from nasgait.data.store import GaitStore
from nasgait.report.network_result import read_network_result
from nasgait.report.page import write_report
from nasgait.search.generations import read_generations
from nasgait.search.latency import read_conditions
from nasgait.search.ledger import read_ledger
from nasgait.search.pareto import read_pareto
from nasgait.training.changes import HARMLESS
from nasgait.training.checkpoint import Checkpoints
from retrain.compare import NEEDED, compare
from retrain.evaluate import read_probes
from retrain.networks import FinalNetwork, final_networks
from search_spaces import load_architecture
from search_spaces.architecture_ref import read_architecture_file

logger = logging.getLogger(__name__)

RANKED = 4
"""Random and uniform architectures that it takes to evaluate the supernet's order."""


@dataclass(frozen=True)
class Pipeline:
    """One run directory and the stages that fill it, each a process of its own.

    The file that a stage writes last shows that it is done; a stage that was interrupted, or
    whose result is damaged, resumes.
    """

    config: ExperimentConfig
    out: Path
    nproc: int

    @property
    def config_file(self) -> Path:
        """The resolved configuration, which every stage reads."""
        return self.out / "config.yaml"

    def everything(self, store: GaitStore) -> dict[str, Any]:
        """All stages in turn over the configured store; returns the content of ``results.json``.

        A stage that is asked to stop, or this process, ends it with Interrupted.
        """
        # Once more with the store at hand: sequences may have been left out on the way in.
        facts = DataFacts.of_store(store, self.config.data)
        raise_all(faults_of(self.config, self.nproc, facts))
        if not (self.out / "sheet.png").exists():
            contact_sheet(store, self.out / "sheet.png")
        checkpoint = self.supernet() if self.config.space is not None else None
        self.retrain(self.search(checkpoint) if checkpoint else None)
        results = compare(self.out, self.config)
        if checkpoint:
            self.rank(checkpoint, results)
        page = write_report(self.out)
        logger.info("report: %s", page)
        return results

    def supernet(self) -> Path:
        """Train the supernet unless it is trained; returns its checkpoint.

        What is trained is the newest whole checkpoint: after damage to the last one the stage goes
        on from the one before, and ends with the same bytes.
        """
        out, steps = self.out / "supernet", self.config.supernet.steps
        kept = Checkpoints(out / "checkpoints")
        newest = kept.newest()
        if newest is None or newest.step < steps:
            self.stage("supernet", "--out", out, "--resume", "--nproc", self.nproc)
            newest = kept.newest()
        assert newest is not None and newest.step >= steps, "the stage ends with its last step"
        return kept.directory / newest.file

    def search(self, checkpoint: Path) -> str:
        """Search; returns the winner in print."""
        out = self.out / "search"
        latencies = out / "latency.jsonl"
        whole = all(intact(out / name, read) for name, read in SEARCHED.items())
        if not whole or (latencies.exists() and not intact(latencies, read_conditions)):
            self.stage("search", "--supernet", checkpoint, "--out", out, "--resume")
        _, arch = load_architecture(out / "best.yaml")
        return str(arch)

    def retrain(self, best: str | None) -> None:
        """Train and evaluate every final network, ``jobs`` at a time."""
        networks = final_networks(self.config, best)
        seeds = range(self.config.seed, self.config.seed + self.config.seeds)
        # Seed by seed, so that an unfinished study has all networks before it has all seeds.
        left = [
            (network, seed)
            for seed in seeds
            for network in networks
            if not is_finished(self.network_dir(network.name, seed), network.recipe(self.config)[1])
        ]
        total = len(networks) * len(seeds)
        gpus = self.gpus()
        pool = ThreadPoolExecutor(self.config.jobs)
        # The jobs are passed every signal; they end by themselves, and are waited for.
        with (
            interrupts.deferred(),
            tqdm(total=total, initial=total - len(left), unit="network") as bar,
        ):
            try:
                for done in as_completed(pool.submit(self.train, *one, gpus) for one in left):
                    done.result()
                    bar.update()
            except RunFailed as error:
                logger.error("%s; networks that are in training end first", error)
                raise
            except interrupts.Interrupted as stop:
                if not interrupts.stop_signal():  # it reached one job alone, and is for all
                    signal.raise_signal(stop.signum)
                raise
            finally:
                # After a failure or a signal nothing new is started, and no folder is left in use.
                pool.shutdown(wait=True, cancel_futures=True)

    def gpus(self) -> SimpleQueue[str]:
        """A GPU for each job at work, in turn; empty names on a CPU."""
        count = torch.cuda.device_count()
        free: SimpleQueue[str] = SimpleQueue()
        for job in range(self.config.jobs):
            free.put(str(job % count) if count else "")
        return free

    def train(self, network: FinalNetwork, seed: int, gpus: SimpleQueue[str]) -> None:
        """One final network; what it prints goes to ``log.txt`` beside its result."""
        interrupts.check()
        out = self.network_dir(network.name, seed)
        out.mkdir(parents=True, exist_ok=True)
        threads = share_of_threads(self.config.threads, self.config.jobs)
        command = self.command("retrain", *network.flags, "--name", network.name,
                               "--kind", network.kind, "--out", out, "--resume",
                               f"seed={seed}", f"threads={threads}")  # fmt: skip
        environment: dict[str, str] = {}
        if self.config.jobs == 1:
            command += ["--nproc", str(self.nproc)]
        gpu = gpus.get()
        try:
            if gpu and self.config.jobs > 1:
                environment["CUDA_VISIBLE_DEVICES"] = gpu
            with (out / "log.txt").open("a") as log:
                code = run_child(command, environment, log)
        finally:
            gpus.put(gpu)
        if code:
            raise RunFailed(
                f"{network.name}, seed {seed}, {how_it_ended(code)}: {last_words(out)} "
                f"(see {log.name})"
            )

    def rank(self, checkpoint: Path, results: dict[str, Any]) -> None:
        """Compare the supernet's scores with the metrics of retrained, unchosen architectures."""
        unchosen = [n for n in results["networks"] if n["kind"] in ("random", "uniform")]
        known = [n for n in unchosen if n[self.config.search.metric] is not None]
        if len(known) < RANKED or intact(self.out / "rank.json", read_result):
            return
        files = ("--truth", self.out / "results.json", "--out", self.out / "rank.json")
        try:
            self.stage("rank", "--supernet", checkpoint, *files)
        except RunFailed as error:
            # The networks are trained and evaluated; they get their report all the same.
            logger.warning("no ranking of the supernet's scores: %s", error)

    def network_dir(self, name: str, seed: int) -> Path:
        """Where a final network's training lives."""
        return self.out / "retrain" / name / f"seed-{seed}"

    def command(self, name: str, *arguments: object) -> list[str]:
        """The command line of a stage over this run's configuration."""
        words = [sys.executable, "-m", "nasgait", name, "--config", self.config_file]
        return [str(word) for word in (*words, *arguments)]

    def stage(self, name: str, *arguments: object) -> None:
        """Run one stage to its end; RunFailed if it fails, after it has printed why."""
        code = run_child(self.command(name, *arguments))
        if code:
            cure = "fix what it reported" if code > 0 else "remove the cause"
            raise RunFailed(
                f"stage {name} {how_it_ended(code)}; {cure}, then the same command resumes"
            )


def intact(path: Path, read: Callable[[Path], object]) -> bool:
    """Whether a result is there and ``read`` finds it undamaged; damage is named in a warning."""
    try:
        if path.exists():
            read(path)
            return True
    except NasgaitError as error:
        fault, _, _ = str(error).rpartition("; ")  # the cure is what happens now
        logger.warning("%s; its stage resumes now", fault or error)
    return False


SEARCHED = {
    "best.yaml": read_architecture_file,
    "pareto.json": read_pareto,
    "generations.jsonl": read_generations,
    "ledger.jsonl": read_ledger,
}
"""What a search leaves, and how each is read."""


def is_finished(folder: Path, recipe: TrainConfig) -> bool:
    """Whether a final network is trained to the recipe's last step and evaluated.

    Both of its results must be undamaged.  A recipe that has changed since is named in a warning.
    """
    results: dict[str, Callable[[Path], object]] = {
        "result.json": partial(read_network_result, needed=NEEDED),
        "probes.npz": read_probes,
    }
    if not all(intact(folder / name, read) for name, read in results.items()):
        return False
    result = read_network_result(folder / "result.json")
    if result["steps"] < recipe.steps:
        return False
    changed = differences(result.get("recipe", {}), json.loads(json.dumps(asdict(recipe))))
    late = {key: values for key, values in changed.items() if key not in HARMLESS}
    if result["steps"] > recipe.steps:
        late.setdefault("steps", (result["steps"], recipe.steps))
    if late and "recipe" in result:
        logger.warning("%s: finished with another %s; it stays as it is", folder, listed(late))
    return True


def last_words(out: Path) -> str:
    """The last line that a final network's training printed."""
    lines = (out / "log.txt").read_text(errors="replace").replace("\r", "\n").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "no output")
