"""SelfGait gives the published numbers: each stage, its loss, its gradients, its target."""

import json

import numpy as np
import pytest
import torch
import yaml
from cases import DOUBLE, SINGLE, close, rebuilt
from reference import load_json, load_npz, needs_reference
from torch import Tensor

from nasgait.compat import selfgait
from nasgait.compat.published import rename
from nasgait.core.errors import CheckpointError, ConfigError
from nasgait.nn.byol import BYOL, regression_loss
from nasgait.nn.losses import triplet_loss
from nasgait.profiling.macs import profile
from retrain.network_spec import load_network

pytestmark = needs_reference
RECORD, ARRAYS = load_json("selfgait"), load_npz("selfgait")
FACTS = RECORD.get("facts", {})
STARTS = [key.removeprefix("byol_loss_") for key in ARRAYS if key.startswith("byol_loss_")]
"""Where the target's weights came from in the recorded steps: ``copied``, ``own``."""


def checkpoint() -> dict[str, dict[str, Tensor]]:
    """As the published training saves it."""
    state = {}
    for part, table in RECORD["state_dict"].items():
        weights = rebuilt({f"{part}/{name}": entry for name, entry in table.items()})
        state[f"{part}_state_dict"] = {name.split("/")[1]: w for name, w in weights.items()}
    return state | {"optimizer_state_dict": {}}


def silhouettes(key: str) -> Tensor:
    return torch.from_numpy((ARRAYS[key] / 255.0).astype(np.float32))


def published(values: Tensor) -> Tensor:
    """Our [n, c, p] in the order of the record, [n, p, c]."""
    return values.transpose(1, 2)


def our_names() -> dict[str, str]:
    """Our name of each published ``<part>.<name>``."""
    names = [
        f"{part}.{name.removeprefix('module.')}"
        for part, table in RECORD["state_dict"].items()
        for name in table
    ]
    ours = rename({name: name for name in names}, selfgait.RULES)
    return {theirs: our for our, theirs in ours.items()}


@pytest.fixture
def learner() -> BYOL:
    return selfgait.load_learner(RECORD["config"], checkpoint())


@torch.no_grad()
@pytest.mark.parametrize("kind", ["eval", "long"])
def test_every_stage(learner, kind):
    learner.eval()
    x = silhouettes(f"x_{kind}")
    strips, _ = learner.online.encode(x)
    stages = {"setnet": strips}
    motion = learner.online.motion
    parts_first = strips.permute(3, 0, 1, 2).contiguous()
    moves = motion.short(parts_first, None) + motion.long(parts_first, None)
    stages["mcm"] = moves.permute(1, 2, 3, 0)
    embeddings = learner.online(x).embeddings
    stages["emb"] = published(embeddings)
    stages["target_emb"] = published(learner.target(x).embeddings)
    stages["proj"] = published(learner.projector(embeddings))
    stages["pred"] = published(learner.predict(x))
    compared = 0
    for name, values in stages.items():
        for key, found in {
            f"{name}_{kind}": values,
            f"{name}_{kind}_sum": values.sum((1, 2)),
            f"{name}_{kind}_first_frame": values[:, 0],
        }.items():
            if key in ARRAYS:
                close(found, ARRAYS[key], SINGLE)
                compared += 1
    assert compared >= 5
    if f"emb_{kind}_f64" in ARRAYS:
        model = selfgait.load(None, checkpoint()).double()
        close(published(model(x.double()).embeddings), ARRAYS[f"emb_{kind}_f64"], DOUBLE)


@torch.no_grad()
def test_the_published_pack_is_one_sequence(learner):
    """Its lengths only trim the padding; here a padded batch holds the sequences apart."""
    model = selfgait.load(checkpoint())
    packed, lengths = silhouettes("x_packed"), ARRAYS["batch_frame"][0]
    frames = packed[:, : lengths.sum()]
    close(published(model(frames).embeddings), ARRAYS["emb_packed"], SINGLE)
    lengths = torch.from_numpy(lengths[lengths > 0])
    padded = torch.rand(len(lengths), int(lengths.max()), *packed.shape[2:])
    pieces = frames[0].split(lengths.tolist())
    for row, piece in enumerate(pieces):
        padded[row, : len(piece)] = piece
    for network in (model, learner.eval().target):
        together = network(padded, lengths).embeddings
        for row, piece in enumerate(pieces):
            close(together[row], network(piece[None]).embeddings[0].numpy(), 1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("start", STARTS)
def test_one_step(learner, start, dtype):
    """The loss, the gradients, the target's move and the running statistics of one update."""
    learner.to(dtype)
    if start == "copied":
        learner.momentum, kept = 0.0, learner.momentum
        learner.update_target()
        learner.momentum = kept
    views = torch.stack([silhouettes("x_view1"), silhouettes("x_view2")], 1).flatten(0, 1)
    predictions, targets = learner(views.to(dtype))
    loss = sum(regression_loss(*pair) for pair in zip(predictions, targets, strict=True)).mean()
    assert float(loss.detach()) == pytest.approx(float(ARRAYS[f"byol_loss_{start}"]), rel=1e-5)
    loss.backward()
    check_gradients(learner, start, 2e-3 if dtype == torch.float32 else 1e-4)
    before = {name: p.detach().clone() for name, p in learner.named_parameters()}
    sgd = RECORD["config"]["optimizer"]["SGD"]
    torch.optim.SGD([p for p in learner.parameters() if p.requires_grad], **sgd).step()
    learner.update_target()
    check_target(learner, before, start)
    check_statistics(learner, start)


def check_gradients(learner: BYOL, start: str, tolerance: float) -> None:
    names, parameters = our_names(), dict(learner.named_parameters())
    largest = max(max(part.values(), default=0) for part in FACTS[f"grad_norm_{start}"].values())
    compared = 0
    for part, norms in FACTS[f"grad_norm_{start}"].items():
        for name, norm in norms.items():
            found = parameters[names[f"{part}.{name.removeprefix('module.')}"]].grad.norm()
            assert abs(float(found) - norm) <= tolerance * norm + 1e-6 * largest, (part, name)
            compared += 1
    for part, without in FACTS[f"no_grad_{start}"].items():
        for name in without:
            parameter = parameters[names[f"{part}.{name.removeprefix('module.')}"]]
            assert parameter.grad is None and not parameter.requires_grad, (part, name)
            compared += 1
    assert compared == len(parameters)


def check_target(learner: BYOL, before: dict[str, Tensor], start: str) -> None:
    names, parameters = our_names(), dict(learner.named_parameters())
    for part, norms in FACTS[f"momentum_{start}"].items():
        for name, (old, new) in norms.items():
            our = names[f"{part}.{name.removeprefix('module.')}"]
            assert float(before[our].double().norm()) == pytest.approx(old, rel=1e-6), our
            assert float(parameters[our].detach().double().norm()) == pytest.approx(
                new, rel=1e-6
            ), our
    # The record's own slice after the copied step holds the next step's start, not the move.
    target = ARRAYS[f"momentum_TP2_slice_before_{start}"]
    online = ARRAYS[f"momentum_TP1_slice_{start}"]
    n, rows, columns = target.shape
    keep = RECORD["config"]["momentum"]
    for values, wanted in (
        (before["target.fcs.fc_bin"], target),
        (parameters["online.fcs.fc_bin"], online),
        (parameters["target.fcs.fc_bin"], keep * target + (1 - keep) * online),
    ):
        close(values[:n, :rows, :columns], wanted, SINGLE)


def check_statistics(learner: BYOL, start: str) -> None:
    names, state = our_names(), learner.state_dict()
    for part, norms in FACTS[f"buffers_after_step_{start}"].items():
        for name, norm in norms.items():
            our = names[f"{part}.{name.removeprefix('module.')}"]
            assert float(state[our].double().norm()) == pytest.approx(norm, rel=1e-5), our


def test_regression_loss():
    """[n, parts, c] there: the cosine runs over the parts."""
    x = torch.from_numpy(ARRAYS["reg_x"]).requires_grad_()
    y = torch.from_numpy(ARRAYS["reg_y"])
    loss = regression_loss(published(x), published(y))
    close(loss, ARRAYS["reg_out"], SINGLE)
    loss.mean().backward()
    assert float(loss.detach().mean()) == pytest.approx(float(ARRAYS["reg_mean"]), rel=1e-5)
    close(x.grad, ARRAYS["reg_grad_x"], SINGLE)


def test_triplet_loss():
    """[parts, n, c] there, as in GaitSet."""
    x, labels = torch.from_numpy(ARRAYS["tri_x"]), torch.from_numpy(ARRAYS["tri_lab"][0])
    result = triplet_loss(x.permute(1, 2, 0), labels, margin=0.2)
    close(result.loss, ARRAYS["tri_full"], SINGLE)
    close(result.nonzero.float(), ARRAYS["tri_num"], 0)
    close(result.distance, ARRAYS["tri_mean_dist"], SINGLE)


@torch.no_grad()
def test_costs():
    recorded = load_json("flops")["selfgait"]["selfgait_T30"]
    parts = ("online_network", "conv_trans", "TP_1")
    found = profile(selfgait.load(None, checkpoint()), frames=30)
    assert found.params == sum(recorded[part]["params"] for part in parts)
    macs = sum(recorded[part][kind] for part in parts for kind in ("conv_macs", "matmul_macs"))
    assert found.macs == macs
    for part, count in RECORD["num_parameters"].items():
        assert recorded.get(part, {"params": count})["params"] == count


def test_checkpoints_and_configs_that_do_not_fit():
    state = checkpoint()
    del state["conv_trans_state_dict"]
    with pytest.raises(CheckpointError, match=r"no conv_trans_state_dict"):
        selfgait.load(None, state)
    state = checkpoint()
    del state["TP_1_state_dict"]["module.fc_bin"]
    with pytest.raises(CheckpointError, match=r"TP_1\.fc_bin"):
        selfgait.load(None, state)
    state = checkpoint()
    del state["predictor_state_dict"]["module.net.0.bias"]
    state["conv_trans_state_dict"]["module.extra"] = torch.zeros(3)
    with pytest.raises(CheckpointError, match=r"1 missing: predictor.*1 unknown: conv_trans\.extra \[3\]"):  # fmt: skip # noqa: E501
        selfgait.load_learner(None, state)
    with pytest.raises(ConfigError, match=r"hidden_dim: is 256, .* 128"):
        selfgait.load({"network": {"hidden_dim": 256}}, checkpoint())
    with pytest.raises(ConfigError, match=r"bin_num: the weights have 31 strips"):
        selfgait.load({"bin_num": [1, 2]}, checkpoint())


def test_a_converted_checkpoint_is_evaluated(nasgait, tmp_path, tiny_store):
    """By the command, with the config as it is published."""
    config, saved, out = (tmp_path / name for name in ("config.yaml", "model_0.pth", "out.pt"))
    config.write_text(yaml.safe_dump(RECORD["config"]))
    torch.save(checkpoint(), saved)
    code, stdout, err = nasgait("convert", config, saved, out, "--json")
    assert code == 0 and "academic use" in err
    assert json.loads(stdout) == {"kind": "network", "title": "selfgait", "space": None}
    model, _ = load_network(out)
    with torch.no_grad():
        close(published(model(silhouettes("x_eval")).embeddings), ARRAYS["emb_eval"], SINGLE)
    code, stdout, err = nasgait(
        "eval", "--checkpoint", out, "--store", tiny_store, "--protocol", "leave-one-out",
        "--max-frames=4", "--json",
    )  # fmt: skip
    assert code == 0, err
    assert 0 <= json.loads(stdout)["rank1"] <= 100


def test_what_cannot_be_converted_is_one_line(nasgait, tmp_path):
    config, saved, out = (tmp_path / name for name in ("config.yaml", "model_0.pth", "out.pt"))
    config.write_text(yaml.safe_dump(RECORD["config"]))

    def fault(state, *words):
        torch.save(state, saved)
        code, _, err = nasgait("convert", config, saved, out, *words)
        assert code == 2 and err.count("\n") == 1 and "Traceback" not in err, err
        assert not out.exists()
        return err

    state = checkpoint()
    assert "--arch" in fault(state, "--arch", "0-1")
    assert "TP_1_state_dict: is no state dict" in fault({**state, "TP_1_state_dict": [1]})
    assert "no TP_1_state_dict" in fault({k: v for k, v in state.items() if "TP_1" not in k})
    config.write_text("network: {hidden_dim: 64}\n")
    assert "hidden_dim: is 64, but the weights were made with 128" in fault(state)
