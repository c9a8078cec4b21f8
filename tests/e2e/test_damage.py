"""Damaged checkpoints, ledgers and results: named, and made again with the same bytes."""

import logging
import re
import shutil
from dataclasses import replace

import pytest

from nasgait.cli.main import main
from nasgait.cli.pipeline import Pipeline, intact, is_finished
from nasgait.config.load import load_config
from nasgait.core.checksum import read_result
from nasgait.core.errors import ConfigError, DataError
from nasgait.core.jsonl import append_line
from nasgait.search.ledger import read_ledger
from nasgait.training.checkpoint import Checkpoints
from retrain.evaluate import read_probes
from search_spaces import load_architecture


def flip(path, place=-200):
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)


def edit(path, before, after):
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))


@pytest.fixture(scope="module")
def searched(trained, tmp_path_factory):
    """The run directory of a trained supernet and a search, without final networks."""
    config, checkpoint = trained
    out = tmp_path_factory.mktemp("run")
    shutil.copytree(checkpoint.parents[1], out / "supernet")
    words = ["--config", str(config), "--supernet", str(checkpoint), "--out", str(out / "search")]
    assert main(["search", *words]) == 0
    shutil.copy(config, out / "config.yaml")
    return out


@pytest.fixture
def run(searched, tmp_path, monkeypatch):
    """A copy of it as a pipeline, whose stages run in this process."""
    out = shutil.copytree(searched, tmp_path / "run")
    pipeline = Pipeline(load_config(out / "config.yaml"), out, 1)
    started = []

    def stage(self, name, *arguments):
        started.append(name)
        assert main(self.command(name, *arguments)[3:]) == 0

    monkeypatch.setattr(Pipeline, "stage", stage)
    return pipeline, started


def test_a_stage_whose_last_checkpoint_is_damaged_resumes(run):
    """Not the one before is taken, and the search that began goes on with the same bytes."""
    pipeline, started = run
    last = Checkpoints(pipeline.out / "supernet" / "checkpoints").latest()
    whole = last.read_bytes()
    for place in (-10, len(whole) // 2):
        flip(last, place)
        assert pipeline.supernet() == last and last.read_bytes() == whole
    assert started == ["supernet"] * 2
    assert pipeline.supernet() == last and len(started) == 2
    best = (pipeline.out / "search" / "best.yaml").read_bytes()
    ledger = pipeline.out / "search" / "ledger.jsonl"
    ledger.write_text("".join(ledger.read_text().splitlines(keepends=True)[:5]))
    (pipeline.out / "search" / "best.yaml").unlink()
    pipeline.search(last)
    assert (pipeline.out / "search" / "best.yaml").read_bytes() == best


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("ledger.jsonl", '"rank1": ', '"rank1": 1'),
        ("generations.jsonl", '"best": ', '"best": 1'),
        ("pareto.json", '"rank1": ', '"rank1": 1'),
        ("best.yaml", "value: ", "value: 1"),
        ("best.yaml", "choices:\n- 0\n- ", "choices:\n- 0\n- 1"),
    ],
)
def test_a_search_whose_result_is_damaged_writes_it_again(run, caplog, name, before, after):
    pipeline, started = run
    out = pipeline.out / "search"
    kept = ("best.yaml", "pareto.json", "generations.jsonl")
    whole, scores = [(out / file).read_bytes() for file in kept], set(map(str, scored(out)))
    edit(out / name, before, after)
    last = Checkpoints(pipeline.out / "supernet" / "checkpoints").latest()
    caplog.set_level(logging.WARNING)
    pipeline.search(last)
    assert started == ["search"] and f"{out / name}" in caplog.text and "damaged" in caplog.text
    assert [(out / file).read_bytes() for file in kept] == whole
    assert set(map(str, scored(out))) == scores
    pipeline.search(last)
    assert started == ["search"]


def scored(out):
    return [(entry.choices, entry.generation, entry.values) for entry in
            read_ledger(out / "ledger.jsonl")]  # fmt: skip


def test_a_report_names_the_damaged_line(run, nasgait):
    pipeline, _ = run
    ledger = pipeline.out / "search" / "ledger.jsonl"
    edit(ledger, '"map": ', '"map": 1')
    code, _, err = nasgait("report", pipeline.out)
    assert code == 2 and f"{ledger}:1: damaged" in err and err.count("\n") == 1, err


def test_an_architecture_file_is_as_it_was_written_or_written_by_hand(run):
    pipeline, _ = run
    best = pipeline.out / "search" / "best.yaml"
    space, architecture = load_architecture(best)
    text = best.read_text()
    best.write_text("# mine\n" + text.replace("- ", "-   "))
    assert load_architecture(best) == (space, architecture)
    best.write_text(text.replace("macs: ", "macs: 1"))
    with pytest.raises(ConfigError, match=r"best.yaml: damaged .* remove the line with its check"):
        load_architecture(best)
    best.write_text(re.sub("checksum: .*\n", "", best.read_text()))
    assert load_architecture(best) == (space, architecture)
    for size in range(0, len(text) - 2, 5):  # the last two are a digit, perhaps, and a newline
        best.write_text(text[:size])
        with pytest.raises(ConfigError):
            load_architecture(best)


def test_a_network_whose_result_is_damaged_is_not_finished(nasgait, tiny_config, tmp_path, capsys):
    out = tmp_path / "out"
    words = ("retrain", "--config", tiny_config, "--out", out, "--arch", "nano:0-1-2-3")
    assert nasgait(*words)[0] == 0
    recipe = load_config(tiny_config).retrain
    results = {"result.json": read_result, "probes.npz": read_probes}
    assert is_finished(out, recipe)
    for name, read in results.items():
        whole = (out / name).read_bytes()
        flip(out / name, len(whole) // 2)
        with pytest.raises(DataError, match=f"{name}: damaged"):
            read(out / name)
        assert not is_finished(out, recipe)
        assert f"{out / name}: damaged" in capsys.readouterr().err
        code, _, err = nasgait(*words, "--resume")
        assert code == 0 and (out / name).read_bytes() == whole, err
    assert not intact(out / "none.json", read_result)
    assert not is_finished(out, replace(recipe, steps=recipe.steps + 1))
    capsys.readouterr()
    assert is_finished(out, replace(recipe, steps=recipe.steps - 1)), "it cannot be trained less"
    assert "it stays as it is" in capsys.readouterr().err


def test_a_search_measures_damaged_latencies_again(run, caplog):
    """Else the same command would fail at the report each time."""
    pipeline, started = run
    latencies = pipeline.out / "search" / "latency.jsonl"
    values = {"key": "0-1-2-3", "seconds": 0.5, "device": "cpu", "threads": 1, "frames": 16}
    append_line(latencies, values)
    pipeline.search(pipeline.supernet())
    assert started == []
    edit(latencies, "0.5", "0.4")
    pipeline.search(pipeline.supernet())
    assert started == ["search"] and f"{latencies}:1: damaged" in caplog.text
