"""Which sequences final networks are trained, pre-trained and judged on, and which never."""

import json
from contextlib import contextmanager

import pytest
from crowds import config_of, crowd, digest, keys, names, readings

from nasgait.training.checkpoint import Checkpoints, load_checkpoint
from retrain import train

ARCH = ("--arch", "nano:0-5-2-4")
SMALL = ("--model", "selfgait-nano")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("crowd")


@pytest.fixture(scope="module")
def store(folder):
    return crowd(folder / "store")


@pytest.fixture
def run(nasgait, tmp_path):
    """``run(command, store, *words) -> the newest checkpoint``, in a folder of its own."""

    def call(command, store, *words):
        out = tmp_path / f"{command}-{len(list(tmp_path.iterdir()))}"
        code, _, err = nasgait(command, "--config", config_of(store), "--out", out, *words)
        assert code == 0, err
        checkpoint = Checkpoints(out / "checkpoints").latest()
        assert checkpoint is not None
        return checkpoint

    return call


@contextmanager
def judgements(seen):
    """Yields a list to which every judging adds what it has read, taken out of ``seen``."""
    judged = []
    real = train.evaluate_network

    def judge(*args, **options):
        before = len(seen)
        verdict = real(*args, **options)
        judged.append(names(seen[before:]))
        del seen[before:]
        return verdict

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "evaluate_network", judge)
        yield judged


def weights(checkpoint):
    return digest(load_checkpoint(checkpoint)["model"])


def result(checkpoint):
    return json.loads((checkpoint.parents[1] / "result.json").read_text())


@pytest.mark.parametrize("every", [0, 1])
def test_training_never_reads_test_identities_and_judging_no_others(run, store, every):
    """The loader works ahead beside the judging: it is made to wait for what is asked."""
    with readings() as seen, judgements(seen) as judged, one_at_a_time():
        run("retrain", store, *ARCH, f"evaluate_every={every}")
    assert names(seen) == keys(store, "train", "search-val")
    assert len(judged) == (3 if every else 1)
    assert all(read == keys(store, "test") for read in judged)


@contextmanager
def one_at_a_time():
    def stream(self, start, stop, depth=2):
        return map(self.batch, range(start, stop))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train.TrainLoader, "stream", stream)
        yield


def test_distractors_are_judged_with_only_where_they_are_wanted(run, store):
    words = ("evaluation.protocol=grew", "evaluation.distractors=true")
    with readings() as seen, judgements(seen) as judged:
        run("retrain", store, *ARCH, *words)
    assert names(seen) == keys(store, "train", "search-val")
    assert judged == [keys(store, "test", "distractor")]


def test_eval_reads_test_identities_alone(run, nasgait, store):
    checkpoint = run("retrain", store, *ARCH)
    with readings() as seen:
        code, _, err = nasgait(
            "eval", "--checkpoint", checkpoint, "--store", store, "--protocol", "leave-one-out"
        )
    assert code == 0, err
    assert names(seen) == keys(store, "test")


def test_identities_without_a_label_are_left_out(run, store):
    read = {}
    for rate in (0.4, 0.5, 1):
        with readings() as seen, judgements(seen):
            run("retrain", store, *ARCH, f"label_rate={rate}", "retrain.batch.ids=4",
                "retrain.steps=12")  # fmt: skip
        read[rate] = names(seen)
    people = {rate: {key.split("-")[0] for key in found} for rate, found in read.items()}
    assert [len(found) for found in people.values()] == [4, 5, 10]
    assert people[0.4] < people[0.5] and read[1] == keys(store, "train", "search-val")
    for rate, found in read.items():
        everything = {key for key in read[1] if key.split("-")[0] in people[rate]}
        assert found == everything, "all sequences of those who keep their labels"


@pytest.mark.parametrize("distractors", [False, True])
def test_pretraining_reads_no_test_identity(run, store, distractors):
    subsets = ("train", "search-val", "distractor")[: 3 if distractors else 2]
    words = (f"pretrain.distractors={distractors}".lower(), "pretrain.views.sequences=20")
    if distractors:
        words = (words[0], "pretrain.views.sequences=26")
    with readings() as seen:
        run("pretrain", store, *SMALL, *words)
    assert names(seen) == keys(store, *subsets)
    assert len(seen) == 2 * 2 * len(keys(store, *subsets)), "two views of each in each step"


def test_pixels_of_test_identities_do_not_move_a_bit_of_a_network(run, store, folder):
    unseen = crowd(folder / "unseen", tainted=("test", "distractor"))
    trained = crowd(folder / "trained", tainted=("search-val",))
    words = (*ARCH, "evaluate_every=1")
    first, second, third = (run("retrain", path, *words) for path in (store, unseen, trained))
    assert weights(first) == weights(second) != weights(third)
    assert result(first)["map"] != result(second)["map"], "they are what it is judged on"
    first, second, third = (run("pretrain", path, *SMALL) for path in (store, unseen, trained))
    assert weights(first) == weights(second) != weights(third)


def test_the_best_checkpoint_is_told_apart_but_the_last_is_the_result(run, store, monkeypatch):
    """Scores on the test identities choose nothing that is reported."""
    real, scores = train.evaluate_network, iter([90.0, 10.0, 10.0])

    def judge(*args, **options):
        verdict = real(*args, **options)
        verdict.table["map"] = next(scores)
        return verdict

    monkeypatch.setattr(train, "evaluate_network", judge)
    last = run("retrain", store, *ARCH, "evaluate_every=1", "retrain.keep=1")
    assert result(last)["map"] == 10.0
    kept = {entry.step: entry.score for entry in Checkpoints(last.parent).entries()}
    assert kept == {1: 90.0, 2: 10.0}
