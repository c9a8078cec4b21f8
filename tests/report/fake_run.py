"""A believable run directory without any training, for the tests of the report."""

import json
from statistics import fmean

import cv2
import numpy as np

from nasgait.config.load import dump_config
from nasgait.config.schema import (
    BaselineConfig,
    DataConfig,
    EvaluationConfig,
    ExperimentConfig,
    SearchConfig,
    TrainConfig,
)
from nasgait.search.budget import Budget, Costs
from nasgait.search.evolution import Evolution
from nasgait.search.generations import Generations
from nasgait.search.ledger import Ledger
from nasgait.search.pareto import write_pareto
from nasgait.search.state import SearchState, search

LAYERS = [[(2, 9), (1, 3), (1.6, 4), (2.4, 7), (2.5, 7.5), (1.9, 6)]] * 3
COSTS = Costs(
    ("macs", "params"),
    (21_000_000, 62_000),
    tuple(
        tuple((int(macs * 4e6 * (1 + i)), int(params * 9e3 * (1 + i))) for macs, params in layer)
        for i, layer in enumerate(LAYERS)
    ),
)
QUALITY = np.array([4.0, -5.0, 2.0, 3.0, 3.4, 1.0])
LIMITS = {"macs": 62_000_000, "params": 420_000}
EVALUATION = {"protocol": "leave-one-out", "metric": "euc", "gallery_ids": 50, "max_frames": None}


def write_run(path, seeds=3, random=5, uniform=6):
    """Write a whole run with baselines, random and uniform networks; returns ``path``."""
    rng = np.random.default_rng(7)
    path.mkdir(parents=True, exist_ok=True)
    write_config(path, seeds, random)
    best = write_search(path, rng)
    write_metrics(path / "supernet", rng, 4000, 0.21)
    write_sheet(path / "sheet.png", rng)
    entries = [("searched", "searched", best)]
    entries += [(name, "baseline", None) for name in ("gaitset-nano", "gaitbase-nano")]
    budget = Budget(COSTS, LIMITS)
    entries += [(f"random-{i + 1}", "random", budget.sample(rng)) for i in range(random)]
    entries += [(f"uniform-{i}", "uniform", (i, i, i)) for i in range(uniform)]
    networks = [write_network(path, rng, *entry, seeds) for entry in entries]
    write_results(path, networks)
    write_rank(path, rng, networks)
    return path


def write_config(path, seeds, random):
    search = SearchConfig(
        population=20, top_k=6, mutations=8, crossovers=8, max_epochs=4,
        max_macs=LIMITS["macs"], max_params=LIMITS["params"],
    )  # fmt: skip
    config = ExperimentConfig(
        name="wild-mini",
        data=DataConfig(store="data/wild-mini"),
        supernet=TrainConfig(steps=4000),
        search=search,
        baselines=(BaselineConfig("gaitset-nano"), BaselineConfig("gaitbase-nano")),
        random=random,
        seeds=seeds,
        evaluation=EvaluationConfig(gallery_ids=50),
    )
    (path / "config.yaml").write_text(dump_config(config))


def write_search(path, rng):
    (path / "search").mkdir()
    ledger = Ledger.open(path / "search" / "ledger.jsonl")

    def score_all(architectures):
        for choices in architectures:
            value = 30 + QUALITY[list(choices)].sum() * 0.7 + rng.normal(0, 0.8)
            yield choices, {"rank1": round(value * 1.3, 4), "map": round(value, 4)}, 0.1

    settings = SearchConfig(population=20, top_k=6, mutations=8, crossovers=8, max_epochs=4)
    evolution = Evolution(Budget(COSTS, LIMITS), settings)
    generations = Generations(path / "search" / "generations.jsonl", evolution)
    state = SearchState(evolution, ledger)
    state.follow(generations.add)
    result = search(state, score_all, chunk=20)
    write_pareto(path / "search" / "pareto.json", result.ranking, ["map"], ["macs", "params"])
    return result.best.choices


def write_metrics(folder, rng, steps, level):
    folder.mkdir(parents=True)
    with (folder / "metrics.jsonl").open("w") as file:
        for step in range(50, steps + 1, 50):
            loss = level * (0.4 + np.exp(-3 * step / steps)) * (1 + 0.04 * rng.normal())
            lr = 0.0015 * (1 + np.cos(np.pi * step / steps))
            row = {"step": step, "loss": loss, "lr": lr, "seconds": step * 0.1}
            file.write(json.dumps(row) + "\n")


def write_network(path, rng, name, kind, choices, seeds):
    """Every seed's files; returns the network's entry for results.json."""
    if choices is None:
        macs, params, level = {
            "gaitset-nano": (37_974_016, 155_144, 26.0),
            "gaitbase-nano": (58_400_000, 301_000, 33.0),
        }[name]
    else:
        cost = COSTS.total(choices)
        macs, params, level = cost["macs"], cost["params"], 30 + 0.8 * QUALITY[list(choices)].sum()
    common = {
        "name": name,
        "kind": kind,
        "arch": None if choices is None else "nano:0-" + "-".join(map(str, choices)),
        "model": name if choices is None else None,
        "macs": macs,
        "params": params,
        "frames": 16,
        "size": [32, 22],
    }
    finals = []
    for seed in range(seeds):
        folder = path / "retrain" / name / f"seed-{seed}"
        write_metrics(folder, rng, 600, 1.4)
        mean = level + rng.normal(0, 1.0)
        cmc = 92 - (92 - 1.4 * mean) * np.arange(1, 21) ** -0.6
        final = {
            **common,
            "seed": seed,
            "train_seconds": 60 + 12 * rng.random(),
            "evaluation": EVALUATION,
            "rank1": cmc[0],
            "rank5": cmc[4],
            "map": mean,
            "cmc": cmc.tolist(),
        }
        (folder / "result.json").write_text(json.dumps(final))
        finals.append(final)
    means = {key: fmean(final[key] for final in finals) for key in ("rank1", "rank5", "map")}
    return {
        **common,
        **means,
        "train_seconds": fmean(final["train_seconds"] for final in finals),
        "seeds": [final["rank1"] for final in finals],
        "seeds_map": [final["map"] for final in finals],
    }


def write_results(path, networks):
    best = networks[0]
    rows = [
        [n["name"], f"{n['map']:.1f} ± 1.3", f"{n['map'] - best['map']:+.1f} [-2.1, +1.4]"]
        for n in networks
    ]
    results = {
        "best": best["name"],
        "budget": LIMITS,
        "protocol": "leave-one-out",
        "networks": networks,
        "study": {
            "columns": ["network", "mAP %", "mAP against searched"],
            "rows": rows,
            "notes": ["± is one standard error, by bootstrap over identities."],
        },
    }
    (path / "results.json").write_text(json.dumps(results))


def write_rank(path, rng, networks):
    table = [
        {"arch": n["arch"], "supernet": n["map"] * 0.9 + rng.normal(0, 1), "retrained": n["map"]}
        for n in networks
        if n["kind"] in ("random", "uniform")
    ]
    rank = {
        "objective": "map",
        "architectures": len(table),
        "spearman": {"value": 0.82, "low": 0.41, "high": 0.96, "p": 0.002},
        "kendall": {"value": 0.67, "low": 0.31, "high": 0.91, "p": 0.003},
        "table": table,
    }
    (path / "rank.json").write_text(json.dumps(rank))


def write_sheet(path, rng):
    """Rows of swinging stick figures."""
    image = np.full((6 * 78, 12 * 66), 48, np.uint8)
    for row in range(6):
        phase = rng.random() * 6
        for column in range(12):
            swing = int(12 * np.sin(phase + column))
            frame = image[row * 78 + 12 : row * 78 + 76, column * 66 + 1 : column * 66 + 65]
            frame[:] = 0
            cv2.circle(frame, (32, 8), 6, 255, -1)
            cv2.ellipse(frame, (32, 26), (8, 14), 0, 0, 360, 255, -1)
            cv2.line(frame, (32, 36), (32 + swing, 62), 255, 6)
            cv2.line(frame, (32, 36), (32 - swing, 62), 255, 6)
    cv2.imwrite(str(path), image)
