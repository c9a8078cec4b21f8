"""Names of experiments and networks: one folder, one line, or refused with what is allowed."""

import pytest

from nasgait.config.load import load_config
from nasgait.config.names import folder_name
from nasgait.core.errors import ConfigError

GOOD = [
    "gaitset",
    "GaitSet (ours)",
    "2-stage",
    "_x",
    "réseau",
    "歩容",
    "a.b",
    "nano:0-1-2",
    "x" * 100,
]
BAD = [
    "",
    ".",
    "..",
    "../../x",
    "a/b",
    "/tmp/x",
    "a\\b",
    ".hidden",
    "-x",
    "=cmd()",
    "+1",
    "@x",
    " x",
    "x ",
    "a\nb",
    "a\rb",
    "a\tb",
    "a\x00b",
    "\x1b[31mred",
    "a\x1b]0;title\x07",
    "a\u202eb",
    "a\u2028b",
    "x" * 101,
    "歩" * 34,
]


@pytest.mark.parametrize("name", GOOD)
def test_names_that_are_folders(name):
    assert folder_name(name) == name


@pytest.mark.parametrize("name", BAD)
def test_others_are_refused_in_one_line(name, tmp_path):
    with pytest.raises(ValueError, match="allowed are letters, digits") as caught:
        folder_name(name)
    assert str(caught.value).isprintable()


def test_an_experiment_may_lie_in_a_folder_of_several(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("name: group/mine\ndata: {store: s}\nbaselines: [{model: gaitset-nano}]\n")
    assert load_config(path).name == "group/mine"
    with pytest.raises(ConfigError, match=r"baselines\.0\.name: must name a folder, not be 'a/b'"):
        load_config(path, ["baselines.0.name=a/b"])


@pytest.mark.parametrize("key", ["name", "baselines.0.name"])
def test_a_configuration_names_the_key(tmp_path, key):
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\ndata: {store: s}\nbaselines: [{model: gaitset-nano}]\n")
    assert load_config(path, [f"{key}=some name"])
    for bad in ("/a", "../../x", '"a\\nb"', '"\\e[31mred"'):
        with pytest.raises(ConfigError, match=f"{key}: must name a folder, not be ") as caught:
            load_config(path, [f"{key}={bad}"])
        assert str(caught.value).isprintable()
