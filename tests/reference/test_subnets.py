"""An architecture's own network is the published supernet's path and nothing else."""

import pytest
import torch
from cases import SINGLE, Case, close, names, wide
from reference import needs_reference

from nasgait.compat import sposgait
from nasgait.config.load import validate
from search_spaces.space import SearchSpace
from search_spaces.spec import SpaceSpec
from supernet.network import slice_state

pytestmark = needs_reference
CASES = [
    pytest.param(name, marks=pytest.mark.slow if wide(name) else ())
    for name in names()
    if name.startswith("sposgait")
]


@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_slice_of_the_supernet_gives_the_recorded_embeddings(name):
    case = Case.load(name)
    settings = case.config["model_cfg"]
    described = sposgait.space(settings, settings["choice_max_num"])
    space = SearchSpace(validate(described, SpaceSpec, name), name)
    supernet = case.model()
    model = space.build(case.arch)
    model.load_state_dict(slice_state(supernet.state_dict(), model))
    output = model.eval()(case.silhouettes("x_eval"))
    close(output.embeddings, case.arrays["emb_eval"], SINGLE)
    path = sum(p.numel() for p in model.parameters())
    assert path == space.cost(case.arch).params < case.parameters
