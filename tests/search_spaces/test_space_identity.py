"""The identity of a space: every fact of what it builds counts, and nothing else does."""

import hashlib
import json
from dataclasses import asdict, fields, replace

import pytest
import yaml

from search_spaces import load_space
from search_spaces.spec import HeadSpec, LayerSpec, SpaceSpec, StageSpec

SPEC = SpaceSpec(
    name="mine",
    size=(16, 12),
    frames=9,
    blocks=("3x3x3", "1x1x1"),
    stages=(
        StageSpec((LayerSpec(4, True), LayerSpec(6, False, ("3x1x1",))), lta=True),
        StageSpec((LayerSpec(8, True),), shortcut=False, relu=True, pool=True),
    ),
    head=HeadSpec((4, 2), 8),
    description="for people",
)
BY_HAND = """
{"blocks": ["3x3x3", "1x1x1"], "frames": 9, "head": {"bins": [4, 2], "channels": 8},
 "name": "mine", "size": [16, 12], "stages": [
 {"layers": [{"blocks": null, "channels": 4, "relu": true},
  {"blocks": ["3x1x1"], "channels": 6, "relu": false}],
  "lta": true, "pool": false, "relu": false, "shortcut": true},
 {"layers": [{"blocks": null, "channels": 8, "relu": true}],
  "lta": false, "pool": true, "relu": true, "shortcut": false}]}
"""
"""The facts as checkpoints of earlier versions were hashed with: JSON, keys in order."""


def test_it_is_the_sha256_of_the_facts():
    text = " ".join(BY_HAND.split()).replace("{ ", "{").replace("[ ", "[")
    assert SPEC.sha256 == hashlib.sha256(text.encode()).hexdigest()


def first_layer(**change):
    stage = SPEC.stages[0]
    layers = (replace(stage.layers[0], **change), *stage.layers[1:])
    return replace(SPEC, stages=(replace(stage, layers=layers), *SPEC.stages[1:]))


def first_stage(**change):
    return replace(SPEC, stages=(replace(SPEC.stages[0], **change), *SPEC.stages[1:]))


def head(**change):
    return replace(SPEC, head=replace(SPEC.head, **change))


LAYER = {"channels": 5, "relu": False, "blocks": ("3x3x3", "1x1x1")}
STAGE = {
    "layers": SPEC.stages[0].layers[:1],
    "shortcut": False,
    "relu": True,
    "pool": True,
    "lta": False,
}
HEAD = {"bins": (2, 4), "channels": 9, "normalise_fcs": True, "cosine": False, "joint_norm": False}
SPACE = {
    "name": "other",
    "size": (12, 16),
    "frames": 10,
    "blocks": ("1x1x1", "3x3x3"),
    "stages": SPEC.stages[:1],
    "head": HeadSpec((4,), 8),
}


def test_every_field_has_another_value_below():
    for kind, others in ((LayerSpec, LAYER), (StageSpec, STAGE), (HeadSpec, HEAD)):
        assert {entry.name for entry in fields(kind)} == set(others)
    assert {entry.name for entry in fields(SpaceSpec)} == {*SPACE, "description"}


def test_every_fact_makes_another_space():
    others = [first_layer(**{name: value}) for name, value in LAYER.items()]
    others += [first_stage(**{name: value}) for name, value in STAGE.items()]
    others += [head(**{name: value}) for name, value in HEAD.items()]
    others += [replace(SPEC, **{name: value}) for name, value in SPACE.items()]
    others += [replace(SPEC, stages=SPEC.stages[::-1])]
    assert len({spec.sha256 for spec in [SPEC, *others]}) == 1 + len(others)


def test_words_for_people_and_defaults_written_out_make_no_other():
    assert replace(SPEC, description="other words").sha256 == SPEC.sha256
    defaults = {"normalise_fcs": False, "cosine": True, "joint_norm": True}
    assert head(**defaults).sha256 == SPEC.sha256


def test_a_file_laid_out_otherwise(tmp_path):
    """Order of keys, comments, anchors and written-out defaults say nothing of a space."""
    plain = json.loads(json.dumps(asdict(SPEC)))
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(plain))
    turned = {key: plain[key] for key in reversed(plain)} | {"description": "x"}
    for switch in ("normalise_fcs", "cosine", "joint_norm"):
        del turned["head"][switch]
    text = "# words\n" + yaml.safe_dump(turned, sort_keys=False, default_flow_style=True)
    (tmp_path / "b.yaml").write_text(text)
    spaces = [load_space(tmp_path / name) for name in ("a.yaml", "b.yaml")]
    assert {space.sha256 for space in spaces} == {SPEC.sha256}


@pytest.mark.parametrize("change", ["channels: 16", "frames: 16", "blocks: [3x3x3, 3x1x3"])
def test_a_copy_of_a_shipped_space_is_its_equal_but_for_what_differs(tmp_path, change):
    from pathlib import Path

    from search_spaces import space

    text = (Path(space.__file__).parent / "spaces" / "nano.yaml").read_text()
    assert text.count(change) >= 1
    others = {"channels: 16": "channels: 17", "frames: 16": "frames: 17"}
    edited = text.replace(change, others.get(change, "blocks: [3x1x3, 3x3x3"), 1)
    found = []
    for name, content in (("same", text), ("edited", edited)):
        path = tmp_path / f"{name}.yaml"
        path.write_text(content.replace("name: nano", "name: mine", 1))
        found.append(load_space(path))
    assert found[0].sha256 != found[1].sha256
    facts = [replace(one.spec, name="nano").sha256 for one in found]
    assert facts[0] == load_space("nano").sha256 != facts[1]
