"""What a run refuses before it begins: all faults at once, from what the data will be."""

from dataclasses import replace

import pytest
from raw_trees import import_grew, make_grew

from nasgait.cli.plan import data_facts, faults_of
from nasgait.config.load import load_config
from nasgait.data.facts import DataFacts, Facts
from nasgait.data.store import GaitStore
from nasgait.data.synthetic.dataset import write_dataset
from retrain.networks import FinalNetwork, baseline_networks
from supernet.train import validate

SYNTH = ["data.store=STORE", "data.synth.preset=wild-mini", "data.synth.ids=24"]


@pytest.fixture
def planned(tiny_config, tmp_path):
    """A configuration whose store is still to be made from the embedded dataset."""

    def load(*overrides: str):
        synth = [word.replace("STORE", str(tmp_path / "store")) for word in SYNTH]
        return load_config(tiny_config, [*synth, *overrides])

    return load


def told(config) -> list[str]:
    return [str(fault) for fault in faults_of(config, 1, data_facts(config))]


def test_what_is_expected_is_what_is_made(planned, tmp_path):
    config = planned("data.synth.seqs=2")
    expected = DataFacts.expected(config.data)
    synth = config.data.synth
    write_dataset(config.data.store, synth.preset, synth.ids, synth.seqs, synth.seed, 1, False)
    made = DataFacts.of_store(GaitStore.open(config.data.store), config.data)
    assert [s.key for s in expected.sequences] == [s.key for s in made.sequences]
    assert (expected.size, expected.split) == (made.size, made.split)


def test_a_source_is_expected_as_it_is_imported(tmp_path, tiny_config):
    root = tmp_path / "raw"
    make_grew(root)
    import_grew(root, tmp_path / "store")
    words = [f"data.source.root={root}", "data.source.layout=grew", "data.search_val=1"]
    config = load_config(tiny_config, [f"data.store={tmp_path / 'store'}", *words])
    made = DataFacts.of_store(GaitStore.open(config.data.store), config.data)
    expected = DataFacts.expected(config.data)
    assert [s.key for s in expected.sequences] == [s.key for s in made.sequences]
    assert expected.split == made.split


def test_all_stages_tell_all_their_faults_at_once(planned):
    config = planned(
        "supernet.batch.ids=200",
        "supernet.schedule.warmup=9",
        "search.max_macs=1",
        "retrain.loss.triplet.weight=0",
        "retrain.loss.cross_entropy.weight=0",
        "evaluation.gallery_ids=null",
        "evaluation.truth=none.csv",
    )
    faults = told(config)
    for beginning in (
        "supernet.batch: ",
        "supernet.schedule.warmup 9",
        "evaluation.truth: only protocol",
        "retrain: loss: ",
    ):
        assert any(fault.startswith(beginning) for fault in faults), beginning
    assert any("smallest" in fault for fault in faults)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("data.train_ids=99", "data.train_ids=99: "),
        ("supernet.schedule.warmup=8", "supernet.schedule.warmup 8: the training ends after 8"),
        ("supernet.batch.ids=99", "supernet.batch: "),
        ("retrain.batch.ids=99", "retrain.batch: "),
        ("data.synth.ids=4", "1 identities for train"),
    ],
)
def test_a_dry_run_refuses_what_would_fail_after_the_import(
    nasgait, planned, tiny_config, tmp_path, override, expected
):
    synth = [word.replace("STORE", str(tmp_path / "store")) for word in SYNTH]
    words = [*synth, override, "--out", tmp_path / "out", "--dry-run"]
    code, _, err = nasgait("run", tiny_config, *words)
    assert code == 2 and expected in err and err.count("\n") == 1
    assert not (tmp_path / "store").exists() and not (tmp_path / "out").exists()


def test_a_stage_tells_the_same_as_the_plan(nasgait, tiny_config, tmp_path):
    """The batch of the supernet is refused in the same words by both."""
    override = "supernet.batch.ids=99"
    config = load_config(tiny_config, [override])
    planned = [fault for fault in told(config) if fault.startswith("supernet")]
    code, _, err = nasgait("supernet", "--config", tiny_config, "--out", tmp_path / "o", override)
    assert (code, err) == (2, f"error: {'; '.join(planned)}\n")
    assert not (tmp_path / "o").exists()


def test_without_data_the_rest_is_checked(tiny_config):
    import torch

    config = load_config(tiny_config, ["supernet.batch.ids=99", "supernet.schedule.warmup=8"])
    found = validate(config, Facts(torch.device("cpu"), 1, None))
    assert [str(fault).split(":")[0] for fault in found] == ["supernet.schedule.warmup 8"]


def test_a_run_that_could_score_nothing_is_refused(tiny_config):
    """A stage may write a table to submit instead; a run has networks to compare."""
    words = ["space=null", "evaluation.protocol=hid", "evaluation.gallery_ids=null"]
    config = load_config(tiny_config, [*words, "baselines=[{model: gaitset-nano}]"])
    assert any("hid" in fault and "truth" in fault for fault in told(config))


def test_a_model_listed_twice_follows_the_entry_that_is_named(tiny_config):
    listed = "[{model: gaitset-nano, name: wide, settings: {embedding: 32}}, {model: gaitset-nano}]"
    config = load_config(tiny_config, [f"baselines={listed}"])
    alone = FinalNetwork("gaitset-nano", "baseline", model="gaitset-nano")
    named = replace(alone, entry="gaitset-nano")
    assert alone.baseline(config) == config.baselines[0], "the first of its model"
    assert named.baseline(config) == config.baselines[1]
    assert [n.baseline(config) for n in baseline_networks(config)] == list(config.baselines)


@pytest.mark.parametrize("command", ["retrain", "pretrain"])
def test_an_empty_name_is_wrong_input(nasgait, tiny_config, tmp_path, command):
    code, _, err = nasgait(command, "--config", tiny_config, "--arch", "", "--out", tmp_path / "o")
    assert code == 2 and err.startswith("error: architecture ''")
