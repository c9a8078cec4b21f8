"""The search over a supernet: budgets, resumption, wrong input, the supernet left alone."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from nasgait.config.renamed import RENAMED
from nasgait.core.checksum import read_checked
from nasgait.core.errors import RunFailed
from nasgait.core.jsonl import line_of
from nasgait.search.generations import read_generations
from nasgait.search.ledger import read_ledger
from nasgait.search.pareto import read_pareto
from nasgait.training.checkpoint import load_checkpoint, save_checkpoint, sha256_of
from search_spaces import load_architecture, load_space

SPACE = load_space("nano")


@pytest.fixture
def search(nasgait, trained):
    config, checkpoint = trained

    def call(out, *words):
        return nasgait("search", "--config", config, "--supernet", checkpoint, "--out", out, *words)

    return call


def scores(out):
    entries = read_ledger(out / "ledger.jsonl")
    return sorted((e.key, e.generation, dict(e.values)) for e in entries)


def test_ledger_best_and_front(search, trained, tmp_path):
    out = tmp_path / "out"
    before = sha256_of(trained[1])
    code, stdout, err = search(out, "--json")
    assert code == 0, err
    entries = read_ledger(out / "ledger.jsonl")
    assert len({e.key for e in entries}) == len(entries) == 4 * 3
    assert {e.generation for e in entries} == {0, 1, 2}, "the last generation is scored and ranked"
    for entry in entries:
        cost = SPACE.cost(entry.choices)
        assert (entry.values["macs"], entry.values["params"]) == (cost.macs, cost.params)
    winner = max(entries, key=lambda e: e.values["map"])
    space, arch = load_architecture(out / "best.yaml")
    assert space.sha256 == SPACE.sha256
    assert json.loads(stdout)["arch"] == str(arch)
    assert SPACE.cost(arch).macs and winner.values["map"] == json.loads(stdout)["score"]
    front = json.loads((out / "pareto.json").read_text())["front"]
    assert winner.key in {line["key"] for line in front}
    assert sha256_of(trained[1]) == before, "the supernet is left alone"


def test_budgets_hold_exactly(search, tmp_path):
    limit = SPACE.cost((0, 0, 1, 1)).macs
    code, _, err = search(tmp_path / "macs", "--max-macs", str(limit), "--max-epochs", "1")
    assert code == 0, err
    assert all(e.values["macs"] <= limit for e in read_ledger(tmp_path / "macs" / "ledger.jsonl"))
    code, _, err = search(
        tmp_path / "both", "--max-flops", str(2 * limit), "--max-params", "0.15M", "--max-epochs=0"
    )
    assert code == 0, err
    for entry in read_ledger(tmp_path / "both" / "ledger.jsonl"):
        assert entry.values["macs"] <= limit and entry.values["params"] <= 150_000


def test_a_budget_is_given_once(search, tmp_path):
    out = tmp_path / "out"
    code, _, err = search(out, "search.max_macs=40M", "--max-flops", "80M")
    assert code == 2 and "search.max_macs" in err and err.count("\n") == 1
    code, _, err = search(out, "--max-epochs=-1")
    assert code == 2 and "search.max_epochs" in err and err.count("\n") == 1
    assert not out.exists()


def test_an_infeasible_budget_names_the_smallest_cost(search, tmp_path):
    code, _, err = search(tmp_path / "out", "--max-macs", "1M")
    smallest = min(SPACE.cost((0, a, b, c)).macs for a in (1, 2) for b in (1, 2) for c in (1, 2))
    assert code == 2 and "Traceback" not in err and err.count("\n") == 1
    assert str(smallest) in err.replace(",", "").replace(" ", "")
    assert not (tmp_path / "out").exists()


def test_a_space_that_runs_out_ends_early(search, tmp_path):
    smallest = min(SPACE.cost((0, a, b, c)).macs for a in (1, 2) for b in (1, 2) for c in (1, 2))
    out = tmp_path / "out"
    code, stdout, err = search(out, "--max-macs", str(smallest), "--json")
    assert code == 0 and "ended early" in err
    assert json.loads(stdout)["ended_early"]
    affordable = sum(
        SPACE.cost((0, a, b, c)).macs <= smallest
        for a in range(6) for b in range(6) for c in range(6)
    )  # fmt: skip
    assert len(read_ledger(out / "ledger.jsonl")) == affordable < 12


@pytest.mark.parametrize(("words", "other"), [((), False), (("data.split_seed=1",), True)])
def test_a_supernet_of_another_split_is_told(search, tmp_path, words, other):
    """Its training identities may be among those that score."""
    code, _, err = search(tmp_path / "out", "--max-epochs", "0", *words)
    assert code == 0 and ("the supernet was trained on other sequences" in err) == other, err


def test_killed_then_resumed_repeats_nothing(search, trained, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert search(whole)[0] == 0
    config, checkpoint = trained
    command = [sys.executable, "-m", "nasgait.cli.main", "search", "--config", config]
    command += ["--supernet", checkpoint, "--out", killed]
    process = subprocess.Popen(list(map(str, command)), stderr=subprocess.DEVNULL)
    ledger = killed / "ledger.jsonl"
    while process.poll() is None and (not ledger.exists() or ledger.read_text().count("\n") < 5):
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = ledger.read_text()
    code, _, err = search(killed, "--resume")
    assert code == 0, err
    assert ledger.read_text().startswith(kept[: kept.rfind("\n") + 1])
    assert scores(killed) == scores(whole)
    for name in ("best.yaml", "pareto.json", "generations.jsonl"):
        assert (killed / name).read_text() == (whole / name).read_text()


def test_neither_chunks_nor_their_size_change_anything(search, tmp_path):
    whole, single = tmp_path / "whole", tmp_path / "single"
    assert search(whole)[0] == search(single, "search.chunk=1")[0] == 0
    assert scores(single) == scores(whole)


def test_several_objectives(search, tmp_path):
    out = tmp_path / "out"
    code, stdout, err = search(
        out, "--json", "search.objectives=[macs, rank1]", "search.batches_per_generation=3"
    )
    assert code == 0, err
    entries = read_ledger(out / "ledger.jsonl")
    assert len({e.key for e in entries}) == 4 * 3
    best = json.loads(stdout)
    assert best["score"] == best["rank1"] == max(e.values["rank1"] for e in entries)
    front = read_pareto(out / "pareto.json")
    assert (front["up"], front["down"]) == (["rank1"], ["macs"])
    assert best["macs"] in {entry.values["macs"] for entry in front["front"]}
    covered = [line["hypervolume"] for line in read_generations(out / "generations.jsonl")]
    assert len(covered) == 3 and 0 < covered[0] <= covered[1] <= covered[2] < 1
    code, _, err = search(out, "--resume", "search.objectives=[rank1]")
    assert code == 2 and "another batches_per_generation (3, not 5), objectives (" in err


def test_latency_is_measured_once_and_limits(search, tmp_path, monkeypatch):
    out = tmp_path / "out"
    words = ("--max-epochs=1", "search.objectives=[map, latency]")
    code, _, err = search(out, *words, "--max-latency", "10s")
    assert code == 0, err
    entries = read_ledger(out / "ledger.jsonl")
    assert all(0 < e.values["latency"] < 10 for e in entries)
    measured = [json.loads(line) for line in (out / "latency.jsonl").read_text().splitlines()]
    assert {line["key"] for line in measured} == {e.key for e in entries}
    assert {(line["device"], line["threads"], line["frames"]) for line in measured} == {
        ("cpu", 1, SPACE.frames)
    }
    before = scores(out)
    code, _, err = search(out, "--resume", *words, "--max-latency", "10s")
    assert code == 0 and scores(out) == before, err
    monkeypatch.setattr("nasgait.search.breeding.TRIES", 2)
    code, _, err = search(tmp_path / "none", "search.max_latency=1us")
    error = err.splitlines()[-1]
    assert code == 2 and error.startswith("error: no architecture with latency <= 1e-06 s"), err
    assert "smallest measured is" in error and "Traceback" not in err
    assert read_ledger(tmp_path / "none" / "ledger.jsonl") == []


def test_scores_do_not_depend_on_what_was_scored_before(trained, tiny_store):
    import torch

    from nasgait.config.load import load_config
    from nasgait.data.split import split
    from nasgait.data.store import GaitStore
    from supernet.scoring.scorer import Scorer
    from supernet.weights import load_supernet

    config = load_config(trained[0])
    store = GaitStore.open(tiny_store)
    parts = split(store, config.data.search_val, config.data.split_seed)
    scorer = Scorer(config, load_supernet(trained[1], "nano"), store, parts, torch.device("cpu"))
    a, b = (SPACE.parse(text).choices for text in ("0-1-2-3", "0-5-4-0"))
    first, _, again = [metrics for c in (a, b, a) for _, metrics, _ in scorer.score_all([c])]
    together = {choices: metrics for choices, metrics, _ in scorer.score_all([b, a])}
    assert first == again == together[a]
    test_identities = {store.sequences[i].label for i in parts.test}
    assert not test_identities & set(scorer.labels), "test identities are never scored"


def contents(out):
    return {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()}


def forbidden(*args):
    raise AssertionError("nothing is left to score")


def test_a_refused_resume_leaves_everything_as_it_was(search, tmp_path):
    out = tmp_path / "out"
    assert search(out, "--max-epochs=1")[0] == 0
    ledger = out / "ledger.jsonl"
    first, *rest = ledger.read_text().splitlines(keepends=True)
    line = json.loads(first)
    ledger.write_text(line_of(line | {"macs": line["macs"] + 1}) + "".join(rest))
    before = contents(out)
    code, _, err = search(out, "--resume", "--max-epochs=1")
    assert code == 2 and "another search" in err
    after = contents(out)
    del before[".lock"], after[".lock"]
    assert after == before


def test_a_removed_line_is_scored_again(search, tmp_path):
    out = tmp_path / "out"
    assert search(out)[0] == 0
    before, best = scores(out), (out / "best.yaml").read_bytes()
    ledger = out / "ledger.jsonl"
    lines = ledger.read_text().splitlines(keepends=True)
    ledger.write_text("".join(lines[:1] + lines[2:]))
    code, _, err = search(out, "--resume")
    assert code == 0, err
    assert sorted(scores(out)) == sorted(before) and (out / "best.yaml").read_bytes() == best


def test_a_start_that_fails_claims_nothing(search, tmp_path):
    out = tmp_path / "out"
    code, _, err = search(out, "search.memory=1000")
    assert code == 2 and "search.memory" in err
    code, _, err = search(out, "search.max_frames=4", "--max-epochs=0")
    assert code == 0, err
    assert search(out, "--resume", "search.max_frames=4", "--max-epochs=0")[0] == 0


def test_provenance_binds_from_the_first_score_on(search, tmp_path):
    out = tmp_path / "out"
    assert search(out, "--max-epochs=0")[0] == 0
    (out / "ledger.jsonl").write_text("")
    code, _, err = search(out, "--resume", "--max-epochs=0", "seed=1")
    assert code == 0, err
    assert json.loads((out / "scoring.json").read_text())["seed"] == 1
    assert "seed: 1" in (out / "config.yaml").read_text()


def test_nothing_is_loaded_for_a_search_that_is_done(search, tmp_path, monkeypatch):
    out = tmp_path / "out"
    code, stdout, err = search(out, "--json")
    assert code == 0, err
    before = contents(out)
    monkeypatch.setattr("supernet.search.Scorer", forbidden)
    code, again, err = search(out, "--resume", "--json")
    assert (code, again) == (0, stdout), err
    for name in ("ledger.jsonl", "metrics.jsonl", "generations.jsonl", "best.yaml", "pareto.json"):
        assert (out / name).read_bytes() == before[name]


def test_results_are_gone_while_a_search_is_extended(search, tmp_path, monkeypatch):
    out = tmp_path / "out"
    assert search(out, "--max-epochs=0")[0] == 0

    def interrupted(*args):
        raise RunFailed("power cut")

    monkeypatch.setattr("supernet.search.evolve", interrupted)
    assert search(out, "--resume")[0] == 1
    assert not (out / "best.yaml").exists() and not (out / "pareto.json").exists()


def test_a_search_begun_with_old_keys_resumes(search, tmp_path):
    old = {new.rpartition(".")[2]: old.rpartition(".")[2] for old, new in RENAMED.items()}
    old = {new: old[new] for new in ("batches_per_generation", "lookahead", "candidates")}
    out = tmp_path / "out"
    assert search(out)[0] == 0
    expected = scores(out), (out / "best.yaml").read_bytes()
    note = read_checked(out / "scoring.json")
    assert old.keys() <= note.keys()
    before = {old.get(name, name): value for name, value in note.items()}
    (out / "scoring.json").write_text(json.dumps(before))
    lines = (out / "ledger.jsonl").read_text().splitlines(keepends=True)
    (out / "ledger.jsonl").write_text("".join(lines[:5]))
    code, _, err = search(out, "--resume", "search.lookahead=2")
    assert code == 2 and "another lookahead (3, not 2);" in err
    code, _, err = search(out, "--resume")
    assert code == 0, err
    assert (scores(out), (out / "best.yaml").read_bytes()) == expected


@pytest.mark.parametrize("text", ["{", "[]", "\x80"])
def test_a_damaged_note_is_named(search, tmp_path, text):
    out = tmp_path / "out"
    assert search(out, "--max-epochs=0")[0] == 0
    (out / "scoring.json").write_text(text, encoding="latin-1")
    code, _, err = search(out, "--resume")
    assert code == 2 and "scoring.json" in err and err.count("\n") == 1, err
    (out / "scoring.json").unlink()
    code, _, err = search(out, "--resume")
    assert code == 2 and "scoring.json" in err and err.count("\n") == 1, err


def test_what_changes_last_digits_is_told(search, tmp_path):
    out = tmp_path / "out"
    assert search(out, "--max-epochs=0")[0] == 0
    code, _, err = search(out, "--resume", "search.memory=3G", "threads=2", "--max-epochs=0")
    assert code == 0 and "threads 1, not 2; memory 4000000000, not 3000000000" in err, err
    code, _, err = search(out, "--resume", "search.chunk=1", "--max-epochs=0")
    assert code == 0 and "measured with" not in err, err


def test_wrong_input(search, nasgait, trained, tmp_path):
    config, checkpoint = trained
    out = tmp_path / "out"
    broken = tmp_path / "broken.pt"
    broken.write_bytes(checkpoint.read_bytes()[:2000])
    other = tmp_path / "other.pt"
    save_checkpoint(other, load_checkpoint(checkpoint) | {"space_sha256": "0" * 64})
    network = tmp_path / "network.pt"
    save_checkpoint(network, load_checkpoint(checkpoint) | {"kind": "network"})
    for path, expected in {
        tmp_path / "none.pt": "none.pt",
        broken: "broken.pt",
        other: "not nano",
        network: "not a supernet",
    }.items():
        code, _, err = nasgait("search", "--config", config, "--supernet", path, "--out", out)
        assert code == 2 and expected in err, err
        assert "Traceback" not in err and err.count("\n") == 1 and not out.exists()
    for objectives in ("[macs]", "[]", "[map, map]", "[map, speed]"):
        code, _, err = search(out, f"search.objectives={objectives}")
        assert code == 2 and "search.objectives" in err and err.count("\n") == 1
    with pytest.raises(SystemExit) as stop:
        search(out, "--max-macs", "lots")
    assert stop.value.code == 2
    with pytest.raises(SystemExit) as stop:
        search(out, "--max-latency", "50")
    assert stop.value.code == 2
    assert search(out, "--max-epochs", "0")[0] == 0
    code, _, err = search(out)
    assert code == 2 and "--resume" in err
    code, _, err = search(out, "--resume", "seed=1")
    assert code == 2 and "another seed" in err
    code, _, err = search(out, "--resume", "search.population=3", "search.mutations=1")
    assert code == 2 and "another population (4, not 3), mutations (2, not 1)" in err


def test_a_ledger_belongs_to_its_supernet(nasgait, trained, tmp_path):
    config, checkpoint = trained
    out = tmp_path / "out"
    nasgait("search", "--config", config, "--supernet", checkpoint, "--out", out, "--max-epochs=0")
    saved = load_checkpoint(checkpoint)
    changed = tmp_path / "changed.pt"
    save_checkpoint(changed, saved | {"step": saved["step"] + 1})
    code, _, err = nasgait(
        "search", "--config", config, "--supernet", changed, "--out", out, "--resume"
    )
    assert code == 2 and "another supernet" in err
    flags = ["search.max_frames=2", "data.search_val=3", "evaluation.metric=cos"]
    code, _, err = nasgait(
        "search", "--config", config, "--supernet", checkpoint, "--out", out, "--resume", *flags
    )
    assert code == 2 and "metric" in err and "max_frames" in err and "search_val" in err
