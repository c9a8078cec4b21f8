"""Recipes in configs/published against the recorded hyper-parameters of the published ones."""

import inspect
import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest
import torch
from reference import load_json, needs_reference

from nasgait.baselines import registry
from nasgait.cli.main import main
from nasgait.compat import opengait, sposgait
from nasgait.config.load import find_config, load_config, validate
from nasgait.config.schema import (
    AugmentConfig,
    BatchConfig,
    OptimizerConfig,
    ScheduleConfig,
)
from search_spaces import SearchSpace, load_space
from search_spaces.spec import SpaceSpec

pytestmark = needs_reference

FOLDER = Path(__file__).parents[2] / "configs" / "published"
RECIPES = load_json("recipes").get("recipes", [])

PROTOCOLS = {
    "CASIA-B": "casia-b",
    "OUMVLP": "oumvlp",
    "GREW": "grew",
    "Gait3D": "gait3d",
    "Gai3D": "gait3d",
}
"""Of each data set; HSTL writes Gait3D as Gai3D."""

LEFT_OUT = {
    "dataset:CCPG": "clothes-changing data set that no importer here reads",
    "dataset:SUSTech1K": "lidar and camera data set that no importer here reads",
    "dataset:CASIA-E": "data set that no importer here reads",
    "dataset:HID": "yearly competition, whose training sets change",
    "dataset:Gait3D-Parsing": "maps of body parts, no silhouettes",
    "name:default": "values that other configs of OpenGait start from; names no network's layers",
}
"""Recorded recipes without a config here, and why."""

DEFAULTS = next((recipe for recipe in RECIPES if recipe["name"] == "default"), {})


def reason(recipe):
    return [
        key for key in (f"dataset:{recipe['dataset']}", f"name:{recipe['name']}") if key in LEFT_OUT
    ]


COVERED = [recipe for recipe in RECIPES if not reason(recipe)]
every_recipe = pytest.mark.parametrize("recipe", COVERED, ids=lambda recipe: recipe["name"])


def config_of(recipe):
    """The one config whose header names the published file."""
    named = re.compile(rf"(?<![\w-]){re.escape(recipe['name'])}\.yaml")
    found = [path for path in FOLDER.glob("*.yaml") if named.search(header(path))]
    assert len(found) == 1, (recipe["name"], found)
    return load(found[0].stem)


def header(path):
    """The comment at the top, on one line."""
    lines = path.read_text().split("\n\n")[0].splitlines()
    return " ".join(line.removeprefix("#").strip() for line in lines)


@cache
def load(name):
    return load_config(name)


def section_of(recipe, config):
    """The recipe in the config: that of the supernet, or that of the final network."""
    return config.supernet if "supertraining" in recipe["name"] else config.retrain


def entry(recipe, key):
    """A key of the record; what is absent there stands in OpenGait's defaults."""
    ours = DEFAULTS if recipe["repository"] == DEFAULTS["repository"] else {}
    return recipe.get(key, ours.get(key))


def test_every_recipe_is_covered_or_left_out_for_a_reason():
    used = {key for recipe in RECIPES for key in reason(recipe)}
    assert used == set(LEFT_OUT)
    assert {recipe["dataset"] for recipe in COVERED} <= set(PROTOCOLS)
    covered = {config_of(recipe).name for recipe in COVERED}
    assert covered == {path.stem for path in FOLDER.glob("*.yaml")}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_bare_name_finds_each(path):
    assert find_config(path.stem) == path and load(path.stem).name == path.stem
    assert not (FOLDER.parent / path.name).exists(), "no two configs of one name"


@every_recipe
def test_losses(recipe):
    loss = section_of(recipe, config_of(recipe)).loss
    listed = recipe["losses"] if isinstance(recipe["losses"], list) else [recipe["losses"]]
    terms = {term["type"]: term for term in listed}
    assert set(terms) <= {"TripletLoss", "CrossEntropyLoss"}
    triplet = terms["TripletLoss"]
    assert loss.triplet.weight == triplet["loss_term_weight"]
    assert loss.triplet.margin == triplet["margin"]
    assert loss.contrastive.weight == 0
    softmax = terms.get("CrossEntropyLoss")
    assert loss.cross_entropy.weight == (softmax["loss_term_weight"] if softmax else 0)
    if softmax:
        assert loss.cross_entropy.scale == softmax["scale"]
        assert loss.cross_entropy.label_smoothing == (
            0.1 if softmax.get("label_smooth", True) else 0
        )


@every_recipe
def test_optimizer_schedule_and_steps(recipe):
    ours, theirs, schedule = (
        section_of(recipe, config_of(recipe)),
        recipe["optimizer"],
        recipe["schedule"],
    )
    clip = recipe.get("clip_grad", {"type": "value", "clip_value": None})
    assert clip["type"] == "value" and schedule["scheduler"] == "MultiStepLR"
    assert ours.steps == recipe["steps"]
    assert ours.optimizer == OptimizerConfig(
        kind=theirs["solver"].lower(),
        lr=theirs["lr"],
        # Adam has no momentum: torch's betas, which the published code leaves as they are.
        momentum=theirs["momentum"] if theirs["solver"] == "SGD" else 0.9,
        weight_decay=theirs["weight_decay"],
        clip_value=clip["clip_value"],
    )
    assert ours.schedule == ScheduleConfig(
        milestones=tuple(schedule["milestones"]), gamma=schedule["gamma"]
    )
    assert recipe["mixed_precision"] and ours.precision in ("bfloat16", "float16")


@every_recipe
def test_batch_and_frames(recipe):
    theirs = recipe["sampler"]
    number, order = theirs["sample_type"].split("_")
    ids, seqs = theirs["batch_size"]
    unfixed = number == "unfixed"
    assert section_of(recipe, config_of(recipe)).batch == BatchConfig(
        ids=ids,
        seqs=seqs,
        frames=theirs["frames_num_min" if unfixed else "frames_num_fixed"],
        frames_max=theirs["frames_num_max"] if unfixed else None,
        order=order,
        skip=theirs.get("frames_skip_num", 0) if order == "ordered" else 0,
    )


def published_augmentation(transforms):
    """The random steps of a published list of transforms."""
    found = {}
    for step in transforms or ():
        kind, prob = step["type"], step.get("prob")
        if kind == "Compose":
            found |= published_augmentation(step["trf_cfg"])
        elif kind == "RandomRotateFlipTransform":
            found |= {"flip": 0.5, "rotate": 0.5}
        elif kind == "RandomPerspective":
            found |= {"perspective": prob, "perspective_shift": 10 / 64}
        elif kind == "RandomErasing":
            found |= {"erase": prob, "erase_area": (0.05, 0.2)}
        elif kind != "BaseSilCuttingTransform":
            names = {"RandomHorizontalFlip": "flip", "RandomRotate": "rotate"}
            found[names[kind]] = prob
    return found


@every_recipe
def test_augmentation(recipe):
    ours = section_of(recipe, config_of(recipe)).augment
    assert ours == AugmentConfig(**published_augmentation(entry(recipe, "train_transform")))


@every_recipe
def test_data_and_evaluation(recipe):
    config = config_of(recipe)
    protocol = PROTOCOLS[recipe["dataset"]]
    assert config.evaluation.protocol == config.data.source.layout == protocol
    assert config.evaluation.metric == (entry(recipe, "eval_metric") or "euc")
    assert config.evaluation.max_frames == recipe.get("eval_frames_limit")
    assert (protocol == "gait3d") == bool(config.evaluation.probes)
    identities = recipe.get("train_identities")
    if identities is not None:
        assert (config.data.train_ids or 20000) == identities
    assert config.freeze == "nothing" and not entry(recipe, "fix_bn")


@every_recipe
def test_network(recipe):
    config, settings = config_of(recipe), dict(recipe["model"])
    terms = section_of(recipe, config).loss
    if settings["model"].startswith("SPOSGait"):
        check_space(recipe, config, settings["class_num"] if terms.cross_entropy.weight else None)
        return
    (baseline,) = config.baselines
    published = opengait.read(
        {
            "data_cfg": {"dataset_name": recipe["dataset"]},
            "model_cfg": settings,
            "evaluator_cfg": {"transform": entry(recipe, "eval_transform")},
        },
        {},
    )
    mine = resolved(baseline.model, baseline.settings)
    assert mine == resolved(published.model, published.settings)
    shrunk = [s.get("img_w", 64) for s in entry(recipe, "eval_transform") or () if "img_w" in s]
    assert config.data.source.size == (shrunk[0] if shrunk else 64)
    with torch.device("meta"):
        model = registry.build(
            baseline.model, 10 if terms.cross_entropy.weight else None, **baseline.settings
        )
        output = model(torch.zeros(2, 6, *model.size))
    assert (output.logits is not None) == bool(terms.cross_entropy.weight)


def resolved(model, settings):
    """Class and every argument of a network, defaults included."""
    make = registry.VARIANTS[model].make
    bound = inspect.signature(make).bind(num_classes=None, **settings)
    bound.apply_defaults()
    return getattr(make, "func", make), json.loads(json.dumps(bound.arguments))


def check_space(recipe, config, classes):
    """The space, and the architecture that the header tells to train, are those of the record."""
    spec = validate(
        sposgait.space(recipe["model"], recipe["model"]["choice_max_num"]), SpaceSpec, "record"
    )
    theirs = SearchSpace(spec, spec.name)
    told = re.search(r"--arch ([\w-]+):([\d-]+)", header(FOLDER / f"{config.name}.yaml"))
    space = load_space(told[1])
    assert config.space in (None, space.name)
    assert space.choices == theirs.choices and space.size == theirs.size
    if "supertraining" in recipe["name"]:
        assert config.space == space.name
        build = [one.supernet for one in (space, theirs)]
    else:
        assert [int(choice) for choice in told[2].split("-")] == recipe["architecture"]
        path = space.parse(f"{told[1]}:{told[2]}").choices
        build = [lambda n, one=one: one.build(path, n) for one in (space, theirs)]
    with torch.device("meta"):
        ours, other = (shapes(make(classes)) for make in build)
    assert ours == other


def shapes(model: torch.nn.Module) -> Mapping[str, torch.Size]:
    return {name: tensor.shape for name, tensor in model.state_dict().items()}


def test_what_a_recipe_lacks_is_told_by_the_plan(capsys, tmp_path):
    """Without the raw silhouettes each command ends with one line, not a traceback."""
    words = ["run", "gaitset-casia-b", "--out", str(tmp_path / "out"), "--dry-run"]
    assert main([*words, f"data.store={tmp_path / 'none'}", f"data.source.root={tmp_path}"]) == 2
    assert "Traceback" not in capsys.readouterr().err
