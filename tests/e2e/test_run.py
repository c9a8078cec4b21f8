"""The whole way: once through, killed anywhere, refused when it should be."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from nasgait.config.load import load_config, read_yaml
from nasgait.core.checksum import read_checked
from nasgait.training.output_dir import locked, record

ALL = ["random=1", "uniform=true", "jobs=2", "retrain.steps=4", "supernet.steps=4"]


@pytest.fixture
def config(tiny_config):
    tiny_config.write_text(tiny_config.read_text() + "baselines: [{model: gaitset-nano}]\n")
    return tiny_config


def comparable(out):
    """All that an interrupted run must share with an undisturbed one."""
    results = read_checked(out / "results.json")
    for network in results["networks"]:
        network.pop("train_seconds")
    ledger = [json.loads(line) for line in (out / "search" / "ledger.jsonl").open()]
    for line in ledger:
        del line["seconds"], line["checksum"]
    best = read_yaml(out / "search" / "best.yaml")
    # Lines come as scores are known: what is scored beside what depends on where a kill fell.
    return results, sorted(ledger, key=lambda line: line["key"]), best


def test_the_whole_way_and_again(nasgait, config, tmp_path):
    out = tmp_path / "out"
    code, stdout, err = nasgait("run", config, "--out", out, "--json", *ALL)
    assert code == 0, err
    results = json.loads(stdout)
    names = [network["name"] for network in results["networks"]]
    assert names == ["searched", "gaitset-nano", "random-1", *(f"uniform-{i}" for i in range(6))]
    assert results["best"] == max(results["networks"], key=lambda n: n["map"])["name"]
    assert results["differences"] == [] and all(
        n["recipe"]["steps"] == 4 for n in results["networks"]
    )
    for network in results["networks"]:
        assert 0 <= network["rank1"] <= 100 and network["macs"] > 0 and network["seeds"]
    rank = json.loads((out / "rank.json").read_text())
    assert rank["architectures"] >= 6 and -1 <= rank["spearman"]["value"] <= 1
    page = (out / "report" / "index.html").read_text()
    assert "gaitset-nano" in page and "<script src" not in page
    for name in ("sheet.png", "config.yaml", "search/pareto.json", "supernet/metrics.jsonl"):
        assert (out / name).exists(), name

    stamp = (out / "retrain" / "searched" / "seed-0" / "result.json").stat().st_mtime_ns
    code, _, err = nasgait("run", config, "--out", out, *ALL)
    assert code == 0, err
    assert (out / "retrain" / "searched" / "seed-0" / "result.json").stat().st_mtime_ns == stamp

    code, _, err = nasgait("run", config, "--out", out, *ALL, "seed=5")
    assert code == 2 and "another configuration" in err and "seed: 0 -> 5" in err


@pytest.mark.slow
def test_killed_in_every_stage_equals_undisturbed(nasgait, config, tmp_path):
    """Kill -9 of the whole process group at several moments, then once more to the end."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    flags = ["supernet.steps=40", "retrain.steps=40", "jobs=2"]
    assert nasgait("run", config, "--out", whole, *flags)[0] == 0
    watched = [
        killed / "supernet" / "metrics.jsonl",
        killed / "search" / "ledger.jsonl",
        killed / "retrain" / "searched" / "seed-0" / "metrics.jsonl",
    ]
    for log in watched:
        command = [sys.executable, "-m", "nasgait.cli.main", "run", config, "--out", killed, *flags]
        process = subprocess.Popen(
            list(map(str, command)), start_new_session=True, stderr=subprocess.DEVNULL
        )
        while process.poll() is None and (not log.exists() or log.read_text().count("\n") < 5):
            time.sleep(0.01)
        assert process.poll() is None, f"the run ended before {log} could be cut"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    code, _, err = nasgait("run", config, "--out", killed, *flags)
    assert code == 0, err
    assert comparable(whole) == comparable(killed)
    for log in watched[::2]:
        steps = [json.loads(line)["step"] for line in log.open()]
        assert steps == list(range(1, 41)), "no step is missing, repeated or left over"


def test_dry_run_starts_nothing(nasgait, config, tmp_path):
    out = tmp_path / "out"
    code, stdout, err = nasgait("run", config, "--out", out, "--dry-run")
    assert code == 0, err
    for word in ("supernet", "search", "retrain", "evaluate", "disk"):
        assert word in stdout
    code, stdout, err = nasgait("run", config, "--out", out, "--dry-run", "--json")
    assert code == 0 and len(json.loads(stdout)["plan"]) == 9
    assert not out.exists()


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("data.store=nowhere", "nowhere"),
        ("search.max_macs=10", "smallest"),
        ("space=nan", "nano"),
        ("baselines.0.model=gaitsett", "gaitset"),
        ("evaluation.truth=none.csv", "evaluation.truth"),
        ("supernet.batch.ids=9", "8 training identities"),
        ("retrain.batch.ids=13", "12 training identities"),
        ("search.population=2", "population"),
        ("search.max_latency=50ms & random=2", "random=0"),
        ("search.max_sequences=4", "leave-one-out needs 2"),
        ("search.precision=float16", "float16 needs a GPU"),
        ("evaluation.gallery_ids=1", "gallery_ids"),
        ("retrain.loss.triplet.weight=0 & retrain.loss.cross_entropy.weight=0", "loss"),
        ("retrain.augment.erase_area=[0.5,0.1]", "erase_area"),
        ("supernet.optimizer.momentum=1", "momentum"),
        ("supernet.batch.seqs=1", "no triplet"),
        ("supernet.schedule.warmup=8", "warmup"),
        ("baselines=[{model: gaitset-nano}, {model: gaitset-nano}]", "twice"),
        ("baselines.0.name=a/b", "baselines.0.name: must name a folder"),
        ("baselines.0.name=../../x", "baselines.0.name: must name a folder"),
        ("baselines.0.name=random-1", "give another"),
        ("data.search_val=12", "search_val"),
        ("retrain.precision=float16", "float16 needs a GPU"),
        ("sed=3", "seed"),
    ],
)
def test_every_input_is_checked_before_anything_starts(
    nasgait, config, tmp_path, override, expected
):
    out = tmp_path / "out"
    code, _, err = nasgait("run", config, "--out", out, *override.split(" & "))
    assert code == 2 and expected in err, err
    assert "Traceback" not in err and not out.exists()


def test_no_flag_gives_a_traceback(nasgait, config, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    for words in (["--nproc", "0"], ["--nproc", "3"], ["--out", file], ["--out", file / "sub"]):
        code, _, err = nasgait("run", config, *words, "supernet.steps=1")
        assert code == 2 and "Traceback" not in err, (words, err)


def test_two_processes_never_write_one_run(nasgait, config, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    with locked(out):
        code, _, err = nasgait("run", config, "--out", out, "supernet.steps=1")
        assert code == 2 and "another process" in err
        code, _, err = nasgait("supernet", "--config", config, "--out", out, "supernet.steps=1")
        assert code == 2 and "another process" in err


def test_grew_without_known_labels_still_gets_its_report(nasgait, config, tiny_grew, tmp_path):
    out = tmp_path / "out"
    flags = [f"data.store={tiny_grew}", "evaluation.protocol=grew", "uniform=true"]
    code, stdout, err = nasgait("run", config, "--out", out, "--json", *ALL, *flags)
    assert code == 0, err
    network = json.loads(stdout)["networks"][0]
    assert network["rank1"] is None and network["rank1_local"] >= 0 and network["map_local"] >= 0
    assert not (out / "rank.json").exists() and (out / "report" / "index.html").exists()
    lines = (out / "retrain" / "searched" / "seed-0" / "submission.csv").read_text().splitlines()
    assert lines[0].startswith("videoId,rank1,") and len(lines) == 1 + 8


def test_interrupted_while_retraining_starts_nothing_new(config, tmp_path):
    """Ctrl-C reaches the whole group: the run ends and no further network is begun."""
    out = tmp_path / "out"
    words = ["run", config, "--out", out, "uniform=true", "jobs=1", "retrain.steps=4000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "nasgait.cli.main", *map(str, words)],
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
    )
    log = out / "retrain" / "searched" / "seed-0" / "metrics.jsonl"
    while process.poll() is None and not log.exists():
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback (most recent" not in err, err
    assert err.count("goes on") == 1 and "interrupted; the same command again goes on" in err
    assert "its checkpoint is written" in (log.parent / "log.txt").read_text()
    assert [path.name for path in (out / "retrain").iterdir()] == ["searched"]


def test_a_folder_that_is_no_run_is_left_alone(nasgait, config, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("precious")
    code, _, err = nasgait("run", config, "--out", tmp_path / "out")
    assert code == 2 and "not empty" in err


@pytest.mark.parametrize("name", ["result.json", "ledger.jsonl", "checkpoints/1.pt"])
def test_the_folder_of_a_stage_is_left_alone(nasgait, config, tmp_path, name):
    """A stage's folder holds the same config.yaml as that of a run."""
    out = tmp_path / "out"
    (out / name).parent.mkdir(parents=True)
    (out / name).write_text("")
    record(out, load_config(config))
    code, _, err = nasgait("run", config, "--out", out, "--dry-run")
    assert code == 2 and name.split("/")[0] in err and err.count("\n") == 1, err


def test_a_failing_network_says_where_its_log_is(nasgait, config, tmp_path):
    out = tmp_path / "out"
    code, _, err = nasgait("run", config, "--out", out, *ALL, "retrain.optimizer.lr=1e30")
    assert code == 1 and "log.txt" in err and "Traceback" not in err
    logs = list((out / "retrain").glob("*/seed-0/log.txt"))
    assert any("not finite" in log.read_text() for log in logs)
