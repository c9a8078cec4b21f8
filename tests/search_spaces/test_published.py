"""SPOSGait networks against the recorded outputs of the published implementation."""

import pytest
import torch
from published import published_space, reference_name
from reference_cases import Case, check_gradients, check_outputs, check_training

CASES = [
    "small_grew_0554",
    "small_grew_triplet_0233",
    "small_casiab_0501",
    "medium_0043030",
    "medium_narrow_mixed",
    "large_grew",
    "large_oumvlp",
    "large_narrow_mixed",
    *[f"small_narrow_all{choice}" for choice in range(6)],
]
WIDE = ("medium_0043030", "large_grew", "large_oumvlp", "small_casiab_0501")


@pytest.fixture(
    params=[pytest.param(n, marks=pytest.mark.slow if n in WIDE else ()) for n in CASES]
)
def network(request, shared):
    case = Case.load(shared / "reference", f"sposgait_{request.param}")
    kind = request.param.split("_")[0]
    config = case.config["model_cfg"]
    space = published_space(kind, config)
    classes = config["class_num"] if "logits_eval" in case.arrays else None
    model = space.build(case.config["cand"], classes)
    case.fill(model, lambda key: reference_name(kind, key))
    return case, model, lambda key: reference_name(kind, key)


def test_outputs_equal_the_published_ones(network):
    case, model, _ = network
    check_outputs(case, model)
    check_training(case, model)


def test_gradients_equal_the_published_ones(network):
    case, model, names = network
    check_gradients(case, model, names)


def test_supernet_runs_the_path_with_the_published_names(shared):
    case = Case.load(shared / "reference", "sposgait_medium_narrow_mixed")
    config = case.config["model_cfg"]
    space = published_space("medium", config)
    supernet = space.supernet(config["class_num"])
    names = {reference_name("medium", key) for key in supernet.state_dict()}
    assert names == set(case.table)
    case.fill(supernet, lambda key: reference_name("medium", key))
    supernet.eval()
    with torch.no_grad():
        embeddings = supernet(case.silhouettes("x_eval"), arch=case.config["cand"]).embeddings
    wanted = torch.from_numpy(case.arrays["emb_eval"])
    assert (embeddings - wanted).abs().max() <= 2e-5 * wanted.abs().max()
