"""Published checkpoints, converted by the command, run through the commands that follow."""

import json

import pytest
import torch
import yaml
from cases import SINGLE, Case, close
from reference import needs_reference

from nasgait.training.checkpoint import load_checkpoint
from retrain.network_spec import load_network
from search_spaces import load_space
from supernet.weights import load_supernet

pytestmark = needs_reference
SUPERNET = "sposgait_small_narrow_all3"


@pytest.fixture
def published(tmp_path):
    """Writes config and checkpoint of a recorded network as its authors would."""

    def write(name, wrapped=False, **more):
        case = Case.load(name)
        config, checkpoint = tmp_path / f"{name}.yaml", tmp_path / f"{name}-00010.pt"
        config.write_text(yaml.safe_dump({**case.config, **more}))
        state = {f"module.{k}" if wrapped else k: v for k, v in case.state.items()}
        torch.save({"model": state, "optimizer": {}, "iteration": 10}, checkpoint)
        return case, config, checkpoint

    return write


@pytest.mark.parametrize(
    ("name", "wrapped"), [("gaitset", False), ("gaitbase_small_maxpool", True)]
)
def test_a_converted_network_gives_the_published_embeddings(
    name, wrapped, published, nasgait, tmp_path, tiny_store
):
    case, config, checkpoint = published(name, wrapped)
    out = tmp_path / "out.pt"
    code, stdout, err = nasgait("convert", config, checkpoint, out, "--json")
    assert code == 0 and "academic use" in err
    assert json.loads(stdout)["kind"] == "network"
    model, saved = load_network(out)
    assert saved["step"] == 10
    with torch.no_grad():
        close(model(case.silhouettes("x_eval")).embeddings, case.arrays["emb_eval"], SINGLE)
    code, stdout, err = nasgait(
        "eval", "--checkpoint", out, "--store", tiny_store, "--protocol", "leave-one-out", "--json"
    )
    assert code == 0, err
    assert 0 <= json.loads(stdout)["rank1"] <= 100


def test_a_converted_supernet_is_searched(published, nasgait, tmp_path, tiny_config):
    _, config, checkpoint = published(SUPERNET)
    out = tmp_path / "supernet.pt"
    code, stdout, err = nasgait("convert", config, checkpoint, out, "--json")
    assert code == 0, err
    told = json.loads(stdout)
    assert told["kind"] == "supernet"
    assert load_supernet(out, told["space"]).space.choices == (6, 6, 6, 6)
    code, stdout, err = nasgait(
        "search", "--config", tiny_config, "--supernet", out, "--out", tmp_path / "search",
        "--max-epochs=1", "--json", f"space={told['space']}", "search.max_frames=4",
    )  # fmt: skip
    assert code == 0, err
    found = json.loads(stdout)["arch"]
    code, _, err = nasgait("profile", "--arch", tmp_path / "search" / "best.yaml")
    assert code == 0 and found


@pytest.mark.parametrize("how", ["flag", "config"])
def test_a_path_of_a_supernet_is_converted_alone(how, published, nasgait, tmp_path):
    more = {"retrain": {"search_network": [3, 3, 3, 3]}} if how == "config" else {}
    case, config, checkpoint = published(SUPERNET, **more)
    out = tmp_path / "path.pt"
    flags = ["--arch", "3-3-3-3"] if how == "flag" else []
    code, stdout, err = nasgait("convert", config, checkpoint, out, *flags, "--json")
    assert code == 0, err
    model, _ = load_network(out)
    with torch.no_grad():
        close(model(case.silhouettes("x_eval")).embeddings, case.arrays["emb_eval"], SINGLE)
    assert json.loads(stdout)["title"].endswith(":3-3-3-3")
    assert out.stat().st_size < checkpoint.stat().st_size / 2


def test_a_published_space_is_known_by_its_name(published, nasgait, tmp_path):
    _, config, checkpoint = published("sposgait_small_grew_triplet_0233")
    code, stdout, err = nasgait("convert", config, checkpoint, tmp_path / "s.pt", "--json")
    assert code == 0, err
    assert json.loads(stdout)["space"] == "sposgait-small"
    saved = load_checkpoint(tmp_path / "s.pt")
    assert saved["space_sha256"] == load_space("sposgait-small").sha256
    names = load_space("sposgait-small").supernet().state_dict().keys()
    assert saved["model"].keys() == names, "blocks that no path takes are left out"


def test_wrong_input_is_one_line(published, nasgait, tmp_path):
    case, config, checkpoint = published("gaitset")
    out = tmp_path / "out.pt"

    def fault(*words):
        code, _, err = nasgait("convert", *words)
        assert code == 2 and err.count("\n") == 1 and "Traceback" not in err, err
        assert not out.exists()
        return err

    assert "none.yaml" in fault(tmp_path / "none.yaml", checkpoint, out)
    assert "none.pt" in fault(config, tmp_path / "none.pt", out)
    assert "--arch" in fault(config, checkpoint, out, "--arch", "0-1")
    assert "--variant" in fault(config, checkpoint, out, "--variant", "oumvlp")
    state = case.state
    head = state.pop("Head.fc_bin")
    torch.save({"model": {**state, "extra.weight": torch.zeros(3)}}, checkpoint)
    err = fault(config, checkpoint, out)
    assert "1 missing: Head.fc_bin [62, 128, 256]" in err and "1 unknown: extra.weight [3]" in err
    torch.save({"model": {**state, "Head.fc_bin": head[:10]}}, checkpoint)
    assert "Head.fc_bin [10, 128, 256], needed [62, 128, 256]" in fault(config, checkpoint, out)
    wrong = {**case.config, "model_cfg": {**case.config["model_cfg"], "model": "GaitSett"}}
    config.write_text(yaml.safe_dump(wrong))
    assert "did you mean 'GaitSet'" in fault(config, checkpoint, out)
    config.write_text("lr: 1\n")
    assert "model_cfg" in fault(config, checkpoint, out)


def test_what_is_there_is_not_written_over(published, nasgait, tmp_path):
    _, config, checkpoint = published("gaitset")
    out = tmp_path / "out.pt"
    out.write_text("mine")
    code, _, err = nasgait("convert", config, checkpoint, out)
    assert code == 2 and "exists" in err and out.read_text() == "mine"
