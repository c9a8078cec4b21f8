"""Does pre-training without labels help when few identities have labels?

    python tools/studies/selfgait.py [--config selfgait-study] [--model gaitset-nano] [--seeds 3]
                                   [--out runs/selfgait-study] [key=value ...]

For each seed a network is pre-trained on all training sequences without labels, then trained on
``label_rate`` of the identities in three ways: from scratch, from the pre-trained weights, and from
these with all but the head frozen (linear evaluation).  The three share identities, recipe and test
set, so differences are paired probe by probe; their errors are clustered by identity.  The same
command resumes an interrupted study.  One JSON object on stdout; a table and progress on stderr.
"""

import argparse
import json
import sys
from pathlib import Path

from nasgait.cli.main import guard, main
from nasgait.config.load import load_config
from nasgait.core.errors import RunFailed
from nasgait.core.metrics_log import setup_logging
from nasgait.core.rng import generator
from nasgait.data.prepare import prepare
from nasgait.evaluation.statistics import Interval, clustered_mean, paired_difference
from nasgait.training.checkpoint import Checkpoints
from retrain.compare import group, pooled

WAYS = ("scratch", "pretrained", "linear")


def command(*words: object) -> None:
    """Run a command of nasgait in this process; RunFailed if it fails."""
    if code := main([str(word) for word in words]):
        raise RunFailed(f"nasgait {words[0]} ended with {code}; see its own message")


def train(args: argparse.Namespace, seed: int) -> None:
    """Train what is still missing for one seed."""
    overrides = [*args.overrides, f"seed={seed}"]
    network = ["--config", args.config, "--model", args.model, "--resume"]
    first = args.out / "pretrain" / f"seed-{seed}"
    command("pretrain", *network, "--out", first, *overrides)
    init = ["--init", Checkpoints(first / "checkpoints").latest()]
    for way, words in (
        ("scratch", []),
        ("pretrained", init),
        ("linear", [*init, "freeze=backbone"]),
    ):
        out = args.out / "retrain" / way / f"seed-{seed}"
        if not (out / "result.json").exists():
            command("retrain", *network, "--name", way, "--out", out, *words, *overrides)


def study(out: Path, seed: int) -> dict[str, object]:
    """Metrics of each way, and differences from training from scratch, in percent."""
    results = group(out)
    probes = {way: pooled(out, way, results[way]) for way in WAYS}
    rng = generator(seed, "selfgait study")
    rows = {}
    for way in WAYS:
        mine, theirs = probes[way], probes["scratch"]
        row: dict[str, object] = {
            "map": clustered_mean(100 * mine.ap, mine.labels, rng)._asdict(),
            "rank1": clustered_mean(100 * mine.hits, mine.labels, rng)._asdict(),
            "seeds_map": [result["map"] for result in results[way]],
            "seeds_rank1": [result["rank1"] for result in results[way]],
        }
        if way != "scratch":
            for name, a, b in (("map", mine.ap, theirs.ap), ("rank1", mine.hits, theirs.hits)):
                gap = paired_difference(100 * a, 100 * b, mine.labels, rng)
                row[f"{name}_against_scratch"] = gap._asdict()
        rows[way] = row
    first = results["scratch"][0]
    return {
        "model": first["model"],
        "label_rate": first["label_rate"],
        "seeds": [result["seed"] for result in results["scratch"]],
        "probes": len(probes["scratch"].labels),
        "identities": len(set(probes["scratch"].labels.tolist())),
        "conclusion": conclusion(Interval(**rows["pretrained"]["map_against_scratch"])),  # type: ignore[arg-type]
        "ways": rows,
    }


def conclusion(gap: Interval) -> str:
    """What the interval of the difference in mAP shows."""
    if gap.low > 0:
        return "pre-training helps"
    return "pre-training hurts" if gap.high < 0 else "no difference is shown"


def table(found: dict) -> list[str]:
    """The study as Markdown."""
    lines = [
        "| training | mAP % | rank-1 % | mAP against scratch | mAP of each seed |",
        "| --- | --- | --- | --- | --- |",
    ]
    for way, row in found["ways"].items():
        cells = [f"{row[key]['mean']:.1f} ± {row[key]['se']:.1f}" for key in ("map", "rank1")]
        gap = row.get("map_against_scratch")
        cells.append(f"{gap['mean']:+.1f} [{gap['low']:+.1f}, {gap['high']:+.1f}]" if gap else "–")
        cells.append(", ".join(f"{value:.1f}" for value in row["seeds_map"]))
        lines.append(f"| {way} | {' | '.join(cells)} |")
    return lines


def run(args: argparse.Namespace) -> int:
    """Train what is missing, then compare."""
    config = load_config(args.config, args.overrides)
    prepare(config.data)
    for seed in range(config.seed, config.seed + args.seeds):
        train(args, seed)
    found = study(args.out, config.seed)
    (args.out / "study.json").write_text(json.dumps(found, indent=1) + "\n")
    print("\n".join([*table(found), "", str(found["conclusion"])]), file=sys.stderr)
    print(json.dumps(found))
    return 0


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--config", default="selfgait-study")
    parser.add_argument("--model", default="gaitset-nano")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs/selfgait-study"))
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    return parser.parse_args()


if __name__ == "__main__":
    setup_logging()
    arguments = parsed()
    sys.exit(guard(lambda: run(arguments)))
