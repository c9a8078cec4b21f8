"""Networks of the shipped spaces: padding, precision, layout, supernet and slices."""

import pytest
import torch

from nasgait.core.errors import ConfigError
from nasgait.nn.memory_format import to_channels_last
from search_spaces import load_space


@pytest.fixture
def nano():
    torch.manual_seed(0)
    return load_space("nano")


def settle(model):
    """Running statistics that are not the initial ones."""
    model.train()
    with torch.no_grad():
        for _ in range(3):
            model(torch.rand(4, 9, *model.size))
    return model


def test_padded_batch_equals_single_sequences(nano):
    """Short ones are repeated (1 x 3, 2 x 2) also when mixed with long ones."""
    lengths = torch.tensor([1, 2, 3, 4, 5, 17, 11])
    x = torch.rand(len(lengths), 17, 32, 22)
    for arch in nano.uniform():
        model = settle(nano.build(arch, 3)).eval()
        with torch.no_grad():
            together = model(x, lengths)
            for row, length in enumerate(lengths):
                alone = model(x[row : row + 1, :length])
                for ours, wanted in zip(together, alone, strict=True):
                    assert (ours[row] - wanted[0]).abs().max() <= 1e-5


def test_padding_content_does_not_matter(nano):
    model = nano.build((0, 3, 1, 5), 4)
    lengths = torch.tensor([5, 9, 7])
    x = torch.rand(3, 9, 32, 22)
    other = x.clone()
    for row, length in enumerate(lengths):
        other[row, length:] = torch.nan
    for mode in (True, False):
        model.train(mode)
        for ours, wanted in zip(model(other, lengths), model(x, lengths), strict=True):
            assert torch.equal(ours, wanted)


def test_training_statistics_count_valid_positions(nano):
    """Same statistics from a batch, and from the batch with padding behind every sequence."""
    plain, padded = nano.build((0, 4, 2, 0)).double(), nano.build((0, 4, 2, 0)).double()
    padded.load_state_dict(plain.state_dict())
    x = torch.rand(3, 9, 32, 22, dtype=torch.float64)
    longer = torch.cat([x, torch.rand(3, 4, 32, 22, dtype=torch.float64)], dim=1)
    lengths = torch.tensor([9, 9, 9])
    y, wanted = padded(longer, lengths).embeddings, plain(x).embeddings
    torch.testing.assert_close(y, wanted)
    y.square().mean().backward()
    wanted.square().mean().backward()
    for ours, theirs in zip(padded.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)
    for key, value in plain.state_dict().items():
        torch.testing.assert_close(padded.state_dict()[key], value)


def test_channels_last_bfloat16_is_close_and_stays_channels_last(nano):
    model = nano.build((0, 0, 5, 3))
    x = torch.rand(4, 16, 32, 22)
    wanted = model(x).embeddings
    to_channels_last(model)
    seen = []
    for unit in model.units:
        unit.register_forward_hook(lambda _, __, clip: seen.append(clip.x))
    with torch.autocast("cpu", torch.bfloat16):
        y = model(x).embeddings
    assert y.dtype == torch.float32
    assert all(f.is_contiguous(memory_format=torch.channels_last_3d) for f in seen)
    assert all(f.dtype == torch.bfloat16 for f in seen)
    assert torch.nn.functional.cosine_similarity(y, wanted, dim=1).min() > 0.99


def test_supernet_path_equals_its_slice(nano):
    supernet = nano.supernet(5).eval()
    arch = (0, 2, 5, 4)
    subnet = nano.build(arch, 5).eval()
    state = supernet.state_dict()
    assert set(subnet.state_dict()) < set(state)
    subnet.load_state_dict({key: state[key] for key in subnet.state_dict()})
    x = torch.rand(2, 16, 32, 22)
    for ours, wanted in zip(supernet(x, arch=arch), subnet(x), strict=True):
        assert torch.equal(ours, wanted)


def test_units_share_prefixes(nano):
    supernet = nano.supernet().eval()
    x = torch.rand(2, 16, 32, 22)
    clip = supernet.enter(x)
    for unit, choice in zip(supernet.units[:2], (0, 3), strict=True):
        clip = unit(clip, choice)
    for rest in ((1, 2), (5, 0)):
        tail = clip
        for unit, choice in zip(supernet.units[2:], rest, strict=True):
            tail = unit(tail, choice)
        wanted = supernet(x, arch=(0, 3, *rest)).embeddings
        assert torch.equal(supernet.leave(tail).embeddings, wanted)


def test_only_the_chosen_path_gets_gradients(nano):
    supernet = nano.supernet()
    supernet(torch.rand(2, 16, 32, 22), arch=(0, 1, 2, 3)).embeddings.sum().backward()
    for name, parameter in supernet.named_parameters():
        parts = name.split(".")
        on_path = "options" not in parts or int(parts[3]) == (0, 1, 2, 3)[int(parts[1])]
        assert (parameter.grad is not None) == on_path, name


@pytest.mark.parametrize("arch", [None, (0, 1, 2), (0, 1, 2, 6), (1, 0, 0, 0)])
def test_paths_that_the_network_lacks_are_refused(nano, arch):
    with pytest.raises(ConfigError, match="arch"):
        nano.supernet()(torch.rand(1, 4, 32, 22), arch=arch)


def test_without_classes_there_is_no_neck(nano):
    model = nano.build((0, 0, 0, 0))
    assert model.neck is None
    assert model(torch.rand(2, 4, 32, 22)).logits is None
    assert model(torch.rand(2, 4, 32, 22)).embeddings.shape == (2, 64, 8)
