"""Spaces of one's own, drawing architectures, and architecture files."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from nasgait.core.errors import ConfigError
from nasgait.search.breeding import cross, mutate
from search_spaces import load_architecture, load_space, save_architecture
from search_spaces import space as space_module

OWN = """
name: mine
size: [32, 22]
frames: 12
blocks: [3x3x3, 1x3x3, 5x1x1+1x3x3]
stages:
  - layers: [{channels: 4, relu: true}, {channels: 8, relu: false, blocks: [1x5x5]}]
    relu: true
    pool: true
  - layers: [{channels: 8, relu: true}]
    shortcut: false
    lta: true
  - layers: [{channels: 8, relu: true}]
    lta: true
head: {bins: [4, 1], channels: 6}
"""


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(OWN)
    return path


def edited(path: Path, old: str, new: str) -> Path:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return path


def test_a_space_of_ones_own_builds_runs_and_is_counted(own):
    space = load_space(own)
    assert space.choices == (3, 1, 3, 3)
    assert space.paths == 27
    model = space.build(space.sample(np.random.default_rng(0)), 4).eval()
    assert model.least_frames == 9
    y = model(torch.rand(2, 12, 32, 22), torch.tensor([12, 2]))
    assert y.embeddings.shape == (2, 6, 5)
    assert y.logits.shape == (2, 4, 5)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("bins: [4, 1]", "bins: [5, 1]", ["head.bins.0", "16", "5"]),
        ("1x3x3,", "1x2x3,", ["blocks.1", "odd"]),
        ("1x3x3,", "3x3x3,", ["blocks.1", "twice"]),
        ("[1x5x5]", "[]", ["stages.0.layers.1.blocks", "at least one"]),
        ("    pool: true", "    pol: true", ["stages.0.pol", "did you mean 'pool'"]),
        ("frames: 12", "frames: '12'", ["frames", "integer"]),
        ("frames: 12\n", "", ["frames", "missing"]),
        ("frames: 12", "frames: 12\nframes: 13", ["frames", "twice"]),
        ("name: mine", "name: nano", ["nano", "own"]),
        ("name: mine", "name: My Space", ["name", "lower-case"]),
        ("size: [32, 22]", "size: [1, 22]", ["stages.0.pool", "halved"]),
    ],
)
def test_faults_are_named(own, old, new, words):
    with pytest.raises(ConfigError) as caught:
        load_space(edited(own, old, new))
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in [own.name, *words]), message


def test_all_faults_at_once(own):
    edited(own, "bins: [4, 1]", "bins: [5, 7]")
    edited(own, "1x5x5", "1x5")
    with pytest.raises(ConfigError, match=r"stages\.0\.layers\.1.*bins\.0.*bins\.1"):
        load_space(own)


def test_unknown_space_gets_a_suggestion():
    with pytest.raises(ConfigError, match="did you mean 'sposgait-small'"):
        load_space("sposgait-smal")
    with pytest.raises(ConfigError, match="no such file"):
        load_space("nowhere.yaml")


def test_identity_ignores_comments_and_description(own):
    before = load_space(own).sha256
    edited(own, "name: mine", "# a remark\nname: mine\ndescription: words")
    assert load_space(own).sha256 == before
    edited(own, "channels: 6", "channels: 7")
    assert load_space(own).sha256 != before


def test_shipped_spaces_differ_and_explain_every_key():
    spaces = [load_space(name) for name in space_module.space_names()]
    assert len({space.sha256 for space in spaces}) == len(spaces)
    for space in spaces:
        text = (Path(space_module.__file__).parent / f"spaces/{space.name}.yaml").read_text()
        assert space.name == space.source
        for key in yaml.safe_load(text):
            lines = text.splitlines()
            row = next(i for i, line in enumerate(lines) if line.startswith(f"{key}:"))
            assert lines[row - 1].startswith("#"), key


def test_published_sizes():
    assert load_space("sposgait-large").paths == 1_679_616
    assert load_space("sposgait-medium").choices == (1, 1, 6, 6, 6, 6, 6)
    assert load_space("sposgait-small").paths == load_space("nano").paths == 216


def test_sampling_is_uniform_and_by_seed():
    space = load_space("nano")
    rng = np.random.default_rng(0)
    drawn = [space.sample(rng).choices for _ in range(3000)]
    assert len(set(drawn)) == 216
    for layer in (1, 2, 3):
        counts = np.bincount([choices[layer] for choices in drawn], minlength=6)
        assert (abs(counts - 500) < 120).all()
    assert space.sample(np.random.default_rng(7)) == space.sample(np.random.default_rng(7))


def test_mutation_and_crossover():
    space = load_space("sposgait-large")
    rng = np.random.default_rng(0)
    a, b = space.sample(rng).choices, space.sample(rng).choices
    assert mutate(a, space.choices, 0.0, rng) == a
    redrawn = [mutate(a, space.choices, 0.1, rng) for _ in range(2000)]
    changed = np.mean([[x != y for x, y in zip(c, a, strict=True)] for c in redrawn], axis=0)
    assert (changed[:2] == 0).all()
    assert (abs(changed[2:] - 0.1 * 5 / 6) < 0.03).all()
    for _ in range(50):
        child = cross(a, b, rng)
        assert all(c in pair for c, *pair in zip(child, a, b, strict=True))


def test_uniform_architectures():
    assert [str(arch) for arch in load_space("nano").uniform()] == [
        f"nano:0-{c}-{c}-{c}" for c in range(6)
    ]


def test_printed_form_loads_again(own):
    for text in ("sposgait-large:0-0-4-5-2-0-4-3-4-3", f"{own}:0-0-2-1"):
        space, arch = load_architecture(text)
        assert str(arch) == text
        assert space.parse(text) == arch
    assert load_space("nano").parse("0-1-2-3").choices == (0, 1, 2, 3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nano:0-1-2", "4 choices, got 3"),
        ("nano:0-1-2-6", "layer 3 has the choices 0..5, not 6"),
        ("nono:0-1-2-3", "did you mean 'nano'"),
        ("0-1-2-3", "name its space"),
        ("nothing.yaml", "no such file"),
        ("nano:0-1-2-x", "no such file"),
    ],
)
def test_bad_architectures_are_named(text, words):
    with pytest.raises(ConfigError, match=words):
        load_architecture(text)


def test_architecture_of_another_space_is_refused():
    nano, small = load_space("nano"), load_space("sposgait-small")
    with pytest.raises(ConfigError, match="not of the space"):
        nano.build(small.sample(np.random.default_rng(0)))
    with pytest.raises(ConfigError, match="not of the space"):
        nano.parse("sposgait-small:0-5-5-4")


def test_architecture_file_round_trip(tmp_path):
    space = load_space("nano")
    arch = space.parse("nano:0-3-1-5")
    path = tmp_path / "deep" / "best.yaml"
    save_architecture(
        path, space, arch, frames=20, score={"rank1": 61.25, "map": 50.5}, origin={"seed": 3}
    )
    record = yaml.safe_load(path.read_text())
    assert list(record) == [
        "checksum", "space", "space_sha256", "choices", "macs", "params", "frames", "size", "score",
        "origin",
    ]  # fmt: skip
    assert record["space"] == "nano"
    assert record["macs"] == space.cost(arch, 20).macs
    assert record["size"] == [32, 22]
    found, again = load_architecture(path)
    assert (found.sha256, again) == (space.sha256, arch)
    assert space.parse(str(path)) == arch
    assert [p.name for p in path.parent.iterdir()] == ["best.yaml"]


def test_architecture_file_of_an_own_space_loads_from_anywhere(own, tmp_path, monkeypatch):
    monkeypatch.chdir(own.parent)
    space = load_space("mine.yaml")
    save_architecture(tmp_path / "a.yaml", space, space.architecture((0, 0, 1, 2)))
    monkeypatch.chdir("/")
    found, arch = load_architecture(tmp_path / "a.yaml")
    assert (found.sha256, arch.choices) == (space.sha256, (0, 0, 1, 2))
    edited(own, "channels: 6", "channels: 7")
    with pytest.raises(ConfigError, match="another version of the space"):
        load_architecture(tmp_path / "a.yaml")
