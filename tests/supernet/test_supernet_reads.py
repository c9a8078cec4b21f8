"""Which sequences training, calibration, scoring, search and ranking read, and which never."""

import json
from dataclasses import replace

import pytest
import torch
from crowds import config_of, crowd, digest, keys, names, readings

from nasgait.config.load import load_config
from nasgait.core.errors import DataError
from nasgait.data.split import split_as
from nasgait.data.store import GaitStore
from nasgait.search.ledger import read_ledger
from nasgait.training.checkpoint import Checkpoints, load_checkpoint
from supernet.scoring.scorer import Scorer, calibration_sequences, scored_sequences
from supernet.weights import load_supernet

UNSEEN = ("search-val", "test", "distractor")
ARCHS = ((0, 0, 0, 0), (0, 1, 2, 3), (0, 5, 1, 4), (0, 3, 3, 0))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("crowd")


@pytest.fixture(scope="module")
def store(folder):
    return crowd(folder / "store")


@pytest.fixture(scope="module")
def other(folder):
    """Stores whose pixels are others in some subsets alone."""
    made = {}

    def of(*subsets):
        if subsets not in made:
            made[subsets] = crowd(folder / "-".join(subsets), tainted=subsets)
        return made[subsets]

    return of


@pytest.fixture
def supernet(nasgait, tmp_path):
    def train(store, *words):
        out = tmp_path / f"supernet-{len(list(tmp_path.iterdir()))}"
        code, _, err = nasgait("supernet", "--config", config_of(store), "--out", out, *words)
        assert code == 0, err
        checkpoint = Checkpoints(out / "checkpoints").latest()
        assert checkpoint is not None
        return checkpoint

    return train


def weights(checkpoint):
    return digest(load_checkpoint(checkpoint)["model"])


def scorer_of(store, checkpoint, *overrides):
    config = load_config(config_of(store), overrides)
    opened = GaitStore.open(store)
    parts = split_as(opened, config.data)
    return Scorer(config, load_supernet(checkpoint, "nano"), opened, parts, torch.device("cpu"))


def test_the_supernet_is_trained_on_training_sequences_alone(supernet, store):
    with readings() as seen:
        supernet(store)
    assert names(seen) == keys(store, "train")
    assert len(seen) == 2 * 6 * 2, "a batch reads each of its sequences once"


def test_identities_drawn_for_search_val_are_not_trained_on(supernet, folder):
    """The store marks none: 4 of the 10 training identities are set apart."""
    path = crowd(folder / "unmarked", subset_of={"search-val": "train"})
    words = ["data.search_val=4"]
    with readings() as seen:
        checkpoint = supernet(path, *words)
    trained = {key.split("-")[0] for key in names(seen)}
    with readings() as scoring:
        scorer = scorer_of(path, checkpoint, *words, "search.calibration.sequences=0")
        list(scorer.embed(ARCHS[:1]))
    scored = {key.split("-")[0] for key in names(scoring)}
    everyone = {key.split("-")[0] for key in keys(path, "train")}
    assert (len(trained), len(scored)) == (6, 4) and trained | scored == everyone
    assert names(seen) | names(scoring) == keys(path, "train")


def test_pixels_of_others_do_not_move_a_bit_of_the_supernet(supernet, store, other):
    expected = weights(supernet(store))
    assert weights(supernet(other(*UNSEEN))) == expected
    assert weights(supernet(other("train"))) != expected


def test_only_the_first_training_identities_serve(supernet, store):
    """The first 6 in sorted order are s00 to s03, of search-val, and t00 and t01."""
    words = ["data.train_ids=6", "supernet.batch.ids=2"]
    with readings() as seen:
        checkpoint = supernet(store, *words)
    wanted = {f"t0{n}-0{take}-000" for n in (0, 1) for take in (1, 2)}
    assert names(seen) == wanted
    with readings() as seen:
        scorer = scorer_of(store, checkpoint, *words)
        assert names(seen) == wanted
        list(scorer.embed(ARCHS[:1]))
    assert names(seen) == wanted | keys(store, "search-val")


def test_calibration_is_drawn_from_training_sequences(supernet, store):
    checkpoint = supernet(store)
    for wanted, drawn in ((99, 12), (5, 5)):
        with readings() as seen:
            scorer = scorer_of(store, checkpoint, f"search.calibration.sequences={wanted}")
        assert scorer.calibrated_on == len(seen) == len(names(seen)) == drawn
        assert names(seen) <= keys(store, "train")
    with readings() as seen:
        scorer_of(store, checkpoint, "search.calibration.sequences=0")
    assert seen == []


def test_calibration_is_drawn_by_the_seed(store):
    config = load_config(config_of(store), ["search.calibration.sequences=4"])
    opened = GaitStore.open(store)
    parts = split_as(opened, config.data)

    def drawn(seed):
        with readings() as seen:
            calibration_sequences(opened, parts, config.search.calibration, seed)
        return [key for key, _ in seen]

    assert drawn(0) == drawn(0)
    assert len({tuple(drawn(seed)) for seed in range(5)}) == 5


def test_every_training_sequence_may_calibrate(store):
    config = load_config(config_of(store), ["search.calibration.sequences=4"])
    opened = GaitStore.open(store)
    parts = split_as(opened, config.data)
    with readings() as seen:
        for seed in range(30):
            calibration_sequences(opened, parts, config.search.calibration, seed)
    assert names(seen) == keys(store, "train")


def test_scoring_reads_search_val_sequences_and_no_other(supernet, store):
    scorer = scorer_of(store, supernet(store))
    with readings() as seen:
        list(scorer.embed(ARCHS))
    assert names(seen) == keys(store, "search-val")
    assert sorted(scorer.labels) == sorted(key[:3] for key in keys(store, "search-val"))


def test_the_cut_after_some_frames_is_made_in_scored_and_calibration_clips(supernet, store):
    words = ["search.max_frames=3", "search.calibration.max_frames=4"]
    checkpoint = supernet(store)
    with readings() as seen:
        scorer = scorer_of(store, checkpoint, *words)
        seen.clear()
        list(scorer.embed(ARCHS[:1]))
    assert {frames for _, frames in seen} == {3}
    config = load_config(config_of(store), words)
    opened = GaitStore.open(store)
    parts = split_as(opened, config.data)
    clips = calibration_sequences(opened, parts, config.search.calibration, 0)
    assert {len(clip) for clip in clips} == {4}
    firsts = {opened[i][:4].tobytes() for i in parts.train}
    assert {clip.tobytes() for clip in clips} == firsts


@pytest.mark.parametrize(("limit", "kept"), [(None, 4), (7, 3), (6, 3), (5, 2), (4, 2)])
def test_whole_identities_up_to_a_limit_are_scored(store, limit, kept):
    """4 identities x 2 sequences, named s00 to s03: the first in sorted order."""
    opened = GaitStore.open(store)
    parts = split_as(opened, load_config(config_of(store)).data)
    chosen = [opened.sequences[i].key for i in scored_sequences(opened, parts, limit)]
    assert chosen == [f"s0{n}-0{take}-000" for n in range(kept) for take in (1, 2)]


@pytest.mark.parametrize(("limit", "identities"), [(1, 1), (3, 1), (None, 2)])
def test_one_identity_alone_cannot_be_scored(store, limit, identities):
    opened = GaitStore.open(store)
    parts = split_as(opened, load_config(config_of(store)).data)
    two = replace(parts, search_val=parts.search_val[:4])
    if identities == 2:
        assert len(scored_sequences(opened, two, limit)) == 4
        return
    with pytest.raises(DataError, match="search-val holds 1 identity to score"):
        scored_sequences(opened, two, limit)


def test_search_and_rank_read_training_and_search_val_sequences(supernet, nasgait, store, tmp_path):
    checkpoint = supernet(store)
    head = ["--config", config_of(store), "--supernet", checkpoint]
    with readings() as seen:
        code, _, err = nasgait("search", *head, "--out", tmp_path / "search")
    assert code == 0, err
    assert names(seen) == keys(store, "train", "search-val")
    truth = truth_table(tmp_path)
    with readings() as seen:
        code, _, err = nasgait("rank", *head, "--truth", truth, "--json")
    assert code == 0, err
    assert names(seen) == keys(store, "train", "search-val")


def truth_table(folder):
    path = folder / "truth.csv"
    rows = [f"{'-'.join(map(str, arch))},{n}.0" for n, arch in enumerate(ARCHS)]
    path.write_text("\n".join(["arch,map", *rows]) + "\n")
    return path


def test_pixels_of_test_identities_change_neither_search_nor_rank(
    supernet, nasgait, store, other, tmp_path
):
    checkpoint = supernet(store)

    def results(name, path):
        head = ["--config", config_of(path), "--supernet", checkpoint]
        out = tmp_path / name
        assert nasgait("search", *head, "--out", out)[0] == 0
        scores = [(e.key, dict(e.values)) for e in read_ledger(out / "ledger.jsonl")]
        code, stdout, _ = nasgait("rank", *head, "--truth", truth_table(tmp_path), "--json")
        assert code == 0
        return scores, json.loads(stdout), embedded(path, checkpoint)

    expected = results("plain", store)
    assert results("unseen", other("test", "distractor")) == expected
    # The same comparison notices what is seen.
    for subset in ("train", "search-val"):
        assert embedded(other(subset), checkpoint) != expected[2], subset


def embedded(path, checkpoint):
    embeddings = dict(scorer_of(path, checkpoint).embed(ARCHS))
    return [embeddings[arch].tobytes() for arch in ARCHS]
