"""However a command ends, people see one line: never a traceback, never nothing."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from nasgait.cli.ending import LOWER, guard
from nasgait.config.load import load_config, parse_yaml
from nasgait.config.schema import ExperimentConfig
from nasgait.core.errors import CheckpointError, ConfigError, DataError
from nasgait.core.files import parse_json, write_atomically
from nasgait.core.metrics_log import read_metrics
from nasgait.report.network_result import read_network_result
from nasgait.training.checkpoint import FORMAT, load_checkpoint, save_checkpoint
from retrain.evaluate import Probes, read_probes, write_probes
from retrain.network_spec import load_network
from search_spaces import load_space
from supernet.weights import load_supernet


def failing(error):
    def action():
        raise error

    return action


def test_what_no_one_foresaw_is_a_line_and_a_file(capsys):
    assert guard(failing(KeyError("lost")), command="supernet") == 1
    line = capsys.readouterr().err
    assert line.startswith("failed: KeyError: 'lost'; ") and line.count("\n") == 1
    file = Path(line.split()[-1])
    try:
        assert "Traceback" in file.read_text() and 'KeyError("lost")' not in line
    finally:
        file.unlink()


ON_A_GPU = "CUDA out of memory. Tried to allocate 93.00 GiB. GPU 0 has a total capacity of 79 GiB"
ON_THE_CPU = (
    "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: "
    "you tried to allocate 4000000 bytes. Error code 12 (Cannot allocate memory)"
)


@pytest.mark.parametrize("command", LOWER)
@pytest.mark.parametrize(
    ("error", "where"),
    [
        (MemoryError(), "CPU"),
        (RuntimeError(ON_THE_CPU), "CPU (4000000 bytes were asked for)"),
        (torch.OutOfMemoryError(ON_A_GPU), "GPU (93.00 GiB were asked for)"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "CPU"),
    ],
)
def test_memory_that_is_refused_names_what_to_lower(capsys, error, where, command):
    assert guard(failing(error), "with --resume", command) == 1
    line = capsys.readouterr().err
    assert line.startswith(f"failed: memory ran out on the {where}; lower {LOWER[command]}")
    assert line.count("\n") == 1


def test_a_real_refusal_of_torch_and_of_numpy(capsys):
    for allocate in (torch.empty, np.empty):
        assert guard(lambda allocate=allocate: allocate(2**52) is None, command="eval") == 1
        assert "memory ran out" in (line := capsys.readouterr().err), line


def test_the_keys_to_lower_exist(tiny_config):
    config = load_config(tiny_config)
    for text in LOWER.values():
        for word in text.replace(",", " ").split():
            value = config
            if "." in word and not word.startswith(("baselines", "(")):
                for part in word.split("."):
                    value = getattr(value, part)


def test_a_lost_rank_is_no_mystery(capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    lost = RuntimeError("[../gloo/transport/tcp/pair.cc:534] Connection closed by peer")
    assert guard(failing(lost)) == 1
    assert "another process of this training is gone" in capsys.readouterr().err


# Files -------------------------------------------------------------------------------------------


def test_a_full_disk_while_a_checkpoint_is_written(tmp_path, capsys):
    """The system refuses files above a megabyte; torch's C++ hid why, and aborted at times."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    payload = {"format": FORMAT, "model": {"w": torch.zeros(2**20)}}
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, before[1]))
    try:
        code = guard(lambda: save_checkpoint(tmp_path / "a.pt", payload), "with --resume")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert code == 1 and list(tmp_path.iterdir()) == []
    line = capsys.readouterr().err
    assert line == "failed: File too large; the same command with --resume goes on\n"


def test_files_are_readable_as_the_umask_says(tmp_path):
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "a", "text")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "9" * 5000, "", "nan,"])
def test_json_that_is_none(text):
    with pytest.raises(ValueError):
        parse_json(text)


DEEP = "[" * 100_000 + "]" * 100_000
WHOLE = '{"name": "a", "kind": "baseline", "map": 3.5, "cmc": [1, 2], "size": [64, 44]}'


@pytest.mark.parametrize(
    "text",
    [
        DEEP, "", "[]", WHOLE[:-5], WHOLE.replace("3.5", '"3.5"'), WHOLE.replace("3.5", "true"),
        WHOLE.replace("1, 2", "1, null"), WHOLE.replace("baseline", "basilisk"),
        WHOLE.replace('"map"', '"mop"'), "\x00" * 40,
    ],
)  # fmt: skip
def test_a_damaged_result_is_named(tmp_path, text):
    path = tmp_path / "result.json"
    path.write_text(WHOLE)
    assert read_network_result(path, ("map",))["map"] == 3.5
    path.write_text(text)
    with pytest.raises(DataError, match=r"result.json.*delete it"):
        read_network_result(path, ("map",))


def test_damaged_probes_are_named(tmp_path):
    path = tmp_path / "probes.npz"
    write_probes(path, Probes(np.array(["a", "b"]), np.ones(2), np.ones(2)))
    whole = path.read_bytes()
    assert read_probes(path).labels.tolist() == ["a", "b"]
    for place in range(0, len(whole), 3):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        with pytest.raises(DataError, match=r"damaged|no table of probes") as error:
            read_probes(path)
        assert "to write it again" in str(error.value) and "\n" not in str(error.value)
    write_probes(path, Probes(np.array(["a", "b"]), np.ones(2), np.ones(3)))
    with pytest.raises(DataError, match="differ in length"):
        read_probes(path)


def test_damaged_lines_of_a_log_are_left_out(tmp_path):
    path = tmp_path / "metrics.jsonl"
    good = '{"step": 1, "loss": null}\n'
    path.write_text(good + '{"step": 2, "loss": "x"}\n' + DEEP + '\n{"step": "3"}\n{"ste')
    assert read_metrics(path) == [{"step": 1, "loss": None}]


@pytest.mark.parametrize(
    "payload",
    [
        {}, {"model": {}}, {"model": 3, "kind": "network"}, {"kind": "network", "model": {"w": 1}},
        {"kind": "network", "model": {}}, {"kind": "supernet"},
    ],
)  # fmt: skip
def test_checkpoints_that_lack_something_are_named(tmp_path, payload):
    path = tmp_path / "a.pt"
    torch.save({"format": FORMAT, **payload}, path)
    with pytest.raises(CheckpointError, match=r"a\.pt.*(lacks|table of tensors|holds a None)"):
        load_network(path)
    with pytest.raises(CheckpointError, match=r"a\.pt"):
        load_supernet(path, "nano")
    if "model" not in payload:
        with pytest.raises(CheckpointError, match="lacks"):
            load_checkpoint(path, FORMAT)


def test_weights_of_another_shape_are_named(tmp_path):
    space, path = load_space("nano"), tmp_path / "a.pt"
    names = {"space": space.source, "space_sha256": space.sha256, "model_name": None}
    weights = {"stem.weight": torch.zeros(3)}
    kind = {"kind": "network", "arch": "nano:0-1-2-3", "model": weights}
    torch.save({"format": FORMAT, **kind, **names}, path)
    with pytest.raises(CheckpointError, match=r"a\.pt: its weights do not fit") as found:
        load_network(path)
    assert "\n" not in str(found.value)


# Configurations ----------------------------------------------------------------------------------

LAUGHS = "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system ['true']", "a: !!python/name:os.system ''",
        "!!bool x", '!!int ""', '!!float ""', "!!timestamp x", "!!binary '*'", "!!set {a}",
        "[" * 5000, "a: &a [*a]", "a0: &a0 [1]\n" + LAUGHS, "9" * 5000, "0x" + "f" * 5000,
    ],
)  # fmt: skip
def test_yaml_that_is_no_configuration(text):
    with pytest.raises(ConfigError, match=r"mine(:1)?: not") as found:
        parse_yaml(text, "mine")
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("key", ["threads", "seed", "supernet.steps", "search.population", "jobs"])
def test_huge_numbers_are_refused(tiny_config, key):
    with pytest.raises(ConfigError, match=key):
        load_config(tiny_config, [f"{key}={2**70}"], schema=ExperimentConfig)


# Streams -----------------------------------------------------------------------------------------

ODD = """
import sys
from nasgait.cli import main
sys.argv = ["nasgait", "report", "x"]
main.run = lambda args: [print("\\u00b1 " * 9, i) for i in range(20000)] and None
"""


def printed(tail, **options):
    command = [sys.executable, "-c", ODD + tail]
    return subprocess.run(command, capture_output=True, text=True, **options)


def test_an_ascii_terminal_shows_what_it_can():
    done = printed("sys.exit(main.main())", env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0 and done.stderr == "" and "\\xb1" in done.stdout


def test_nobody_reads_stdout():
    process = subprocess.Popen(
        [sys.executable, "-c", ODD + "sys.exit(main.main())"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == "" and process.wait() == 141


@pytest.mark.parametrize("closed", ["1", "2", "1, 2", "0, 1, 2"])
def test_streams_that_are_closed(closed):
    """Python gives None for them; the next file that is opened would take their numbers."""
    script = ODD.replace("20000", "3") + (
        "code = main.main()\n"
        "numbers = [open(__file__ if False else sys.executable, 'rb').fileno()]\n"
        "sys.exit(7 if code or min(numbers) < 3 else 0)"
    )
    starter = (
        f"import os, sys\nfor n in ({closed},): os.close(n)\n"
        f"os.execv(sys.executable, [sys.executable, '-c', {script!r}])"
    )
    assert subprocess.run([sys.executable, "-c", starter], check=False).returncode == 0


def test_a_log_that_nobody_reads_ends_nothing():
    tail = (
        "main.run = lambda args: [print('x' * 99, file=sys.stderr) for _ in range(9999)] and None\n"
        "sys.exit(main.main())"
    )
    process = subprocess.Popen([sys.executable, "-c", ODD + tail], stderr=subprocess.PIPE)
    process.stderr.close()
    assert process.wait() == 0
