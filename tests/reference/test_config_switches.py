"""The switches of a published head: what they say is what the network does.

The records have them at their defaults.  Here the recorded weights run with each switch turned,
beside weights that were changed by hand so that the default does the same.
"""

import copy

import pytest
import torch
import torch.nn.functional as F
from cases import Case
from reference import needs_reference

from nasgait.compat import opengait
from nasgait.core.errors import CheckpointError, ConfigError

pytestmark = needs_reference

FCS = {
    "gaitset": "Head",
    "gaitpart": "Head",
    "gln_phase1": "Head",
    "opengait_baseline": "FCs",
    "gaitbase_small_maxpool": "FCs",
    "sposgait_small_narrow_all3": "Head0",
}
"""Records of networks with switchable linear maps, and what they call these."""
NECKS = ("opengait_baseline", "gaitbase_small_maxpool", "sposgait_small_narrow_all3")


def turned(case: Case, head: str, **switches) -> dict:
    config = copy.deepcopy(case.config)
    config["model_cfg"][head] |= switches
    return config


@torch.no_grad()
def outputs(case: Case, config: dict, state: dict):
    model = opengait.load(config, state, case.variant).double()
    return case.runs(model)(case.silhouettes("x_eval")[:1].double())


@pytest.mark.parametrize("name", FCS)
def test_linear_maps_with_weights_of_length_one(name):
    case = Case.load(name)
    key = f"{FCS[name]}.fc_bin"
    by_hand = case.state | {key: F.normalize(case.state[key].double(), dim=1)}
    wanted = outputs(case, case.config, by_hand).embeddings
    config = turned(case, "SeparateFCs", norm=True)
    torch.testing.assert_close(outputs(case, config, case.state).embeddings, wanted)
    plain = outputs(case, case.config, case.state).embeddings
    assert (plain - wanted).abs().max() > 1e-2 * wanted.abs().max(), "the switch shows"


@pytest.mark.parametrize("name", NECKS)
def test_logits_without_cosine(name):
    case = Case.load(name)
    state = {name: value.double() for name, value in case.state.items()}
    found = outputs(case, turned(case, "SeparateBNNecks", norm=False), case.state)
    mean, var, weight, bias = (
        state[f"BNNecks.bn1d.{key}"].view(found.embeddings.shape[1:])
        for key in ("running_mean", "running_var", "weight", "bias")
    )
    neck = (found.embeddings - mean) / (var + 1e-5).sqrt() * weight + bias
    wanted = torch.einsum("ncp,pco->nop", neck, state["BNNecks.fc_bin"])
    torch.testing.assert_close(found.logits, wanted)


@pytest.mark.parametrize("name", NECKS)
def test_a_batchnorm_for_each_part(name):
    case = Case.load(name)
    wanted = outputs(case, case.config, case.state)
    parts = wanted.embeddings.shape[2]
    state = {}
    for key, value in case.state.items():
        kind = key.removeprefix("BNNecks.bn1d.")
        if kind == key:
            state[key] = value
            continue
        for part in range(parts):
            state[f"BNNecks.bn1d.{part}.{kind}"] = (
                value.view(-1, parts)[:, part] if value.dim() else value
            )
    found = outputs(case, turned(case, "SeparateBNNecks", parallel_BN1d=False), state)
    torch.testing.assert_close(found.logits, wanted.logits)


@pytest.mark.parametrize("name", ["gaitset", "sposgait_small_narrow_all3"])
@pytest.mark.parametrize("key", ["in_channels", "parts_num"])
def test_a_head_for_other_features_is_refused(name, key):
    case = Case.load(name)
    with pytest.raises(ConfigError, match=f"SeparateFCs.{key}: 7"):
        opengait.load(turned(case, "SeparateFCs", **{key: 7}), case.state)


def test_a_classifier_for_other_identities_is_refused():
    case = Case.load("sposgait_small_narrow_all3")
    with pytest.raises(CheckpointError, match="class_num: 5, but"):
        opengait.load(turned(case, "SeparateBNNecks", class_num=5), case.state)


def test_the_width_that_the_transform_leaves():
    case = Case.load("gaitset")

    def width(**keys):
        steps = [{"type": "BaseSilCuttingTransform", **keys}]
        config = case.config | {"evaluator_cfg": {"transform": steps}}
        return opengait.load(config, case.state).size

    assert width() == (64, 44)
    assert width(img_w=128) == (128, 88)
    assert width(cutting=4) == (64, 56)
    assert width(cutting=0) == (64, 64)
    for wrong in (-1, 32, 1.5, "x", True):
        with pytest.raises(ConfigError, match="cutting"):
            width(cutting=wrong)


def test_a_stage_of_no_blocks_has_one():
    """As DeepGaitV2's published stages do."""
    case = Case.load("deepgaitv2_p3d")
    config = copy.deepcopy(case.config)
    assert config["model_cfg"]["Backbone"]["layers"] == [1, 1, 1, 1]
    config["model_cfg"]["Backbone"]["layers"] = [0, 1, 0, 1]
    wanted = outputs(case, case.config, case.state).embeddings
    assert torch.equal(outputs(case, config, case.state).embeddings, wanted)
    config["model_cfg"]["Backbone"]["layers"] = [-1, 1, 1, 1]
    with pytest.raises(ConfigError, match="give 4 counts"):
        opengait.load(config, case.state)


@pytest.mark.parametrize("path", ["model", "Backbone.mode"])
def test_a_list_for_a_name_is_refused(path):
    case = Case.load("deepgaitv2_p3d")
    config = copy.deepcopy(case.config)
    holder, _, key = path.rpartition(".")
    (config["model_cfg"][holder] if holder else config["model_cfg"])[key] = ["p3d"]
    with pytest.raises(ConfigError, match="known are"):
        opengait.load(config, case.state)
