"""A signal at any moment of any stage: it ends with its code and one line, and goes on."""

import random
import shutil
import signal
import time

import pytest
from interrupted_stages import Stage, finish, interrupt
from raw_trees import make_grew

STEPS = ["supernet.steps=30", "retrain.steps=30", "supernet.checkpoint_every=10"]
CHECKPOINTS = ("**/checkpoints/*.pt",)
TRAINED = (*CHECKPOINTS, "**/metrics.jsonl", "**/result.json", "**/probes.npz")
SEARCHED = ("**/ledger.jsonl", "**/best.yaml", "**/pareto.json", "**/generations.jsonl")


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """A raw dataset that takes a moment to import."""
    root = tmp_path_factory.mktemp("raw")
    make_grew(root, train=40)
    return root


@pytest.fixture
def stages(trained, tiny_store, tmp_path, raw):
    """``stages(name, folder)``: a stage that writes into the folder."""
    config, supernet = trained
    text = config.read_text() + "baselines: [{model: gaitset-nano}]\n"
    run = tmp_path / "run.yaml"
    run.write_text(text)
    searching = ["--config", config, "--supernet", supernet, "search.max_epochs=4"]
    retraining = ["retrain", "--config", config, "--arch", "nano:0-1-2-3", *STEPS]

    def stage(name, folder):
        out = tmp_path / folder
        if name == "eval":  # it leaves nothing but what it prints
            network = stage("retrain", "network")
            if not network.out.exists():
                assert finish(network, False) is None
            (checkpoint,) = network.out.glob("checkpoints/*30.pt")
            words = ["--checkpoint", checkpoint, "--store", tiny_store]
            return Stage(("eval", *words, "--protocol", "leave-one-out"), out, ())
        to = ["--out", out]
        ray = ["--backend", "ray", "threads=2", "search.ray.workers=2"]
        every = {
            "supernet": (["supernet", "--config", config, *to, *STEPS], TRAINED),
            "ranks": (["supernet", "--config", config, *to, *STEPS, "--nproc", 2], TRAINED),
            "search": (["search", *searching, *to], SEARCHED),
            "ray": (["search", *searching, *to, *ray], SEARCHED),
            "retrain": ([*retraining, *to], TRAINED),
            "import": (
                ["data", "import", "--layout", "grew", "--root", raw, *to, "--workers", 2],
                ("*.csv", "*.bin", "meta.json"),
            ),
            "run": (["run", run, *to, *STEPS], (*TRAINED, *SEARCHED, "results.json")),
        }
        words, files = every[name]
        resume = () if name in ("import", "run") else ("--resume",)
        return Stage(tuple(words), out, resume, files)

    return stage


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


STAGES = ["supernet", "ranks", "search", "ray", "retrain", "eval", "import", "run"]


@pytest.mark.soak
@pytest.mark.parametrize("name", STAGES)
def test_a_signal_at_any_moment(stages, name, pytestconfig):
    """As often as ``--signals`` says, at random moments, each followed by a resumption."""
    whole = stages(name, "whole")
    began = time.monotonic()
    assert finish(whole, False) is None
    seconds, wanted = time.monotonic() - began, whole.content()
    assert wanted or name == "eval"
    rng, faults, sent, slowest = random.Random(name), [], 0, 0.0
    broken = stages(name, "broken")
    for number in range(pytestconfig.getoption("--signals")):
        signum = rng.choice((signal.SIGINT, signal.SIGINT, signal.SIGTERM))
        group = rng.random() < 0.5
        delay, resume = rng.uniform(0.3, seconds), broken.out.exists()
        ending = interrupt(broken, delay, signum, group, resume)
        sent, slowest = sent + ending.sent, max(slowest, ending.seconds)
        faults += [f"{number}: {delay:.2f} s, {signum}: {f}\n{ending.err}" for f in ending.faults]
        if ending.code == 0 or rng.random() < 0.3:
            again = finish(broken, broken.out.exists())
            if again or broken.content() != wanted:
                faults.append(f"{number}: {again or 'other files'}")
            shutil.rmtree(broken.out, ignore_errors=True)
    print(f"{name}: {sent} signals, the slowest end after {slowest:.1f} s, {len(faults)} faults")
    assert not faults, "\n".join(faults)
