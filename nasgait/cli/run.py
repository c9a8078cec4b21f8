"""``nasgait run``: the whole way, from silhouettes to the report."""

import argparse
import importlib
import json
import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from tqdm import tqdm

from nasgait.cli import stage
from nasgait.config.load import dump_config, load_recorded
from nasgait.config.schema import ExperimentConfig
from nasgait.core.errors import ConfigError, RunFailed
from nasgait.core.files import write_atomically
from nasgait.core.parent_watchdog import child_environment
from nasgait.training.output_dir import claim, is_used, locked

HELP = "walk the whole way: data, supernet, search, retraining, evaluation, report"

logger = logging.getLogger(__name__)

OF_A_STAGE = ("result.json", "ledger.jsonl", "checkpoints")
"""What lies at the top of a single stage's folder, and never at that of a run."""

RANKED = 4
"""Random and uniform architectures from which on the supernet's order is judged."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("config", metavar="CONFIG", help="experiment: YAML file or name")
    stage.add_overrides(parser)
    parser.add_argument("--out", metavar="DIR", help="run directory (default: runs/<name>)")
    parser.add_argument(
        "--dry-run", action="store_true", help="print the plan, check all inputs, start nothing"
    )
    parser.add_argument(
        "--nproc",
        type=int,
        default=1,
        metavar="N",
        help="processes of the supernet, and of each final network when jobs is 1",
    )
    parser.add_argument("--json", action="store_true", help="print results.json at the end")


def run(args: argparse.Namespace) -> int:
    """Check everything, print the plan, then walk it from where it stopped."""
    config = stage.read_config(args)
    walk = Walk(config, stage.default_out(args, config), args.nproc)
    refuse_other_config(walk)
    plan = importlib.import_module("nasgait.cli.plan")
    lines = list(plan.plan(config, walk.out, args.nproc))
    if args.dry_run and args.json:
        print(json.dumps({"plan": lines}))
    else:
        print("\n".join(lines), file=sys.stdout if args.dry_run else sys.stderr)
    if args.dry_run:
        return 0
    claim(walk.out, resume=True)
    with locked(walk.out):
        write_atomically(walk.config_file, dump_config(config))
        results = walk.everything()
    if args.json:
        json.dump(results, sys.stdout)
        print()
    elif "study" in results:
        formatting = importlib.import_module("nasgait.report.formatting")
        print("\n".join(formatting.text_table(results["study"])))
    return 0


@dataclass(frozen=True)
class Walk:
    """One run directory and the stages that fill it, each a process of its own.

    A stage that is done is known by the file it writes last; a stage that was
    interrupted goes on by itself.
    """

    config: ExperimentConfig
    out: Path
    nproc: int

    @property
    def config_file(self) -> Path:
        """The resolved configuration, which every stage reads."""
        return self.out / "config.yaml"

    def everything(self) -> dict[str, Any]:
        """All stages in turn; returns the content of ``results.json``."""
        store = importlib.import_module("nasgait.data.prepare").prepare(self.config.data)
        # Once more with the store at hand: a store that was still to be made could not be checked.
        importlib.import_module("nasgait.cli.plan").check_store(self.config, store, self.nproc)
        self.sheet(store)
        checkpoint = self.supernet() if self.config.space is not None else None
        self.retrain(self.search(checkpoint) if checkpoint else None)
        results = importlib.import_module("retrain.compare").compare(self.out, self.config)
        if checkpoint:
            self.rank(checkpoint, results)
        page = importlib.import_module("nasgait.report.page").write_report(self.out)
        logger.info("report: %s", page)
        return results

    def sheet(self, store: Any) -> None:
        """The contact sheet that the report shows."""
        if not (self.out / "sheet.png").exists():
            sheet = importlib.import_module("nasgait.data.sheet")
            sheet.contact_sheet(store, self.out / "sheet.png")

    def supernet(self) -> Path:
        """Train the supernet unless it is trained; returns its checkpoint."""
        out, recipe = self.out / "supernet", self.config.supernet
        kept = importlib.import_module("nasgait.training.checkpoint").Checkpoints(
            out / "checkpoints"
        )
        latest = kept.latest()
        if latest is None or kept.entries()[-1].step < recipe.steps:
            self.stage("supernet", "--out", out, "--resume", "--nproc", self.nproc)
            latest = kept.latest()
        return latest

    def search(self, checkpoint: Path) -> str:
        """Search; returns the winner in print."""
        out = self.out / "search"
        if not (out / "best.yaml").exists():
            self.stage("search", "--supernet", checkpoint, "--out", out, "--resume")
        _, arch = importlib.import_module("search_spaces").load_architecture(out / "best.yaml")
        return str(arch)

    def retrain(self, best: str | None) -> None:
        """Train and judge every final network, ``jobs`` at a time."""
        entries = importlib.import_module("retrain.networks").lineup(self.config, best)
        seeds = range(self.config.seed, self.config.seed + self.config.seeds)
        # Seed by seed, so that an unfinished study has all networks before it has all seeds.
        left = [
            (entry, seed)
            for seed in seeds
            for entry in entries
            if not (self.network_dir(entry.name, seed) / "result.json").exists()
        ]
        total = len(entries) * len(seeds)
        gpus = self.gpus()
        pool = ThreadPoolExecutor(self.config.jobs)
        with tqdm(total=total, initial=total - len(left), unit="network") as bar:
            try:
                for done in as_completed(pool.submit(self.train, *one, gpus) for one in left):
                    done.result()
                    bar.update()
            finally:
                # After a failure or Ctrl-C nothing new is started.
                pool.shutdown(wait=False, cancel_futures=True)

    def gpus(self) -> SimpleQueue[str]:
        """A GPU for each job at work, in turn; names that stand for none on a CPU."""
        count = importlib.import_module("torch").cuda.device_count()
        free: SimpleQueue[str] = SimpleQueue()
        for job in range(self.config.jobs):
            free.put(str(job % count) if count else "")
        return free

    def train(self, entry: Any, seed: int, gpus: SimpleQueue[str]) -> None:
        """One final network; what it prints goes to ``log.txt`` beside its result."""
        out = self.network_dir(entry.name, seed)
        out.mkdir(parents=True, exist_ok=True)
        command = self.command("retrain", entry.flag, entry.value, "--name", entry.name,
                               "--kind", entry.kind, "--out", out, "--resume",
                               f"seed={seed}", f"threads={self.job_threads()}")  # fmt: skip
        environment = child_environment()
        if self.config.jobs == 1:
            command += ["--nproc", str(self.nproc)]
        gpu = gpus.get()
        try:
            if gpu and self.config.jobs > 1:
                environment["CUDA_VISIBLE_DEVICES"] = gpu
            with (out / "log.txt").open("a") as log:
                code = subprocess.run(
                    command, stdout=log, stderr=log, env=environment, check=False
                ).returncode
        finally:
            gpus.put(gpu)
        if code:
            raise RunFailed(
                f"{entry.name}, seed {seed}, ended with status {code}: {last_words(out)} "
                f"(see {log.name})"
            )

    def job_threads(self) -> int:
        """CPU threads of each final network's training."""
        distributed = importlib.import_module("nasgait.core.distributed")
        return distributed.share_of_threads(self.config.threads, self.config.jobs)

    def rank(self, checkpoint: Path, results: dict[str, Any]) -> None:
        """Hold the supernet's scores against the retrained rates of unchosen architectures."""
        unchosen = [n for n in results["networks"] if n["kind"] in ("random", "uniform")]
        known = [n for n in unchosen if n[self.config.search.metric] is not None]
        if len(known) < RANKED or (self.out / "rank.json").exists():
            return
        files = ("--truth", self.out / "results.json", "--out", self.out / "rank.json")
        try:
            self.stage("rank", "--supernet", checkpoint, *files)
        except RunFailed as error:
            # The networks are trained and judged; they get their report all the same.
            logger.warning("no ranking of the supernet's scores: %s", error)

    def network_dir(self, name: str, seed: int) -> Path:
        """Where a final network's training lives."""
        return self.out / "retrain" / name / f"seed-{seed}"

    def command(self, name: str, *arguments: object) -> list[str]:
        """The command line of a stage over this run's configuration."""
        words = [sys.executable, "-m", "nasgait.cli.main", name, "--config", self.config_file]
        return [str(word) for word in (*words, *arguments)]

    def stage(self, name: str, *arguments: object) -> None:
        """Run one stage to its end.

        Raises RunFailed when it fails; it has said why itself.
        """
        command = self.command(name, *arguments)
        code = subprocess.run(command, env=child_environment(), check=False).returncode
        if code:
            raise RunFailed(
                f"stage {name} ended with status {code}; once what it says is mended, the same "
                "command goes on"
            )


def last_words(out: Path) -> str:
    """What a final network's training said last."""
    lines = (out / "log.txt").read_text(errors="replace").replace("\r", "\n").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "no output")


def differences(before: ExperimentConfig, now: ExperimentConfig) -> list[str]:
    """``key: old -> new`` for each key that differs."""
    old, new = (flatten(asdict(config)) for config in (before, now))
    return [
        f"{key}: {old.get(key)} -> {new.get(key)}"
        for key in dict.fromkeys([*old, *new])
        if old.get(key) != new.get(key)
    ]


def flatten(value: Any, path: str = "") -> dict[str, Any]:
    """Nested sections and lists as dotted keys."""
    if isinstance(value, dict):
        items = [(str(key), inner) for key, inner in value.items()]
    elif isinstance(value, list | tuple) and any(isinstance(inner, dict) for inner in value):
        items = [(str(number), inner) for number, inner in enumerate(value)]
    else:
        return {path: value}
    flat: dict[str, Any] = {}
    for key, inner in items:
        flat |= flatten(inner, f"{path}.{key}" if path else key)
    return flat


def refuse_other_config(walk: Walk) -> None:
    """A run directory belongs to one configuration; only what works on it may change.

    That is ``data.workers``, ``search.backend`` and ``search.ray``.
    Raises ConfigError naming the first lines that differ, and for a folder of a single stage.
    """
    for name in OF_A_STAGE:
        if (walk.out / name).exists():
            raise ConfigError(
                f"--out {walk.out}: is the folder of a single stage ({name}), no run; give another "
                "--out"
            )
    if not walk.config_file.exists():
        if walk.out.exists() and (not walk.out.is_dir() or is_used(walk.out)):
            raise ConfigError(f"--out {walk.out}: is not empty and no run; give another --out")
        return
    before = load_recorded(walk.config_file)
    now = walk.config
    before = replace(
        before,
        data=replace(before.data, workers=now.data.workers),
        search=replace(before.search, backend=now.search.backend, ray=now.search.ray),
    )
    if before != now:
        changed = differences(before, now)
        more = f" and {len(changed) - 4} more" if changed[4:] else ""
        raise ConfigError(
            f"--out {walk.out}: was run with another configuration ({', '.join(changed[:4])}{more})"
            "; give another --out, or the configuration that it began with; what it has trained "
            "can be used by the single stages (nasgait search --supernet, nasgait eval ...)"
        )
