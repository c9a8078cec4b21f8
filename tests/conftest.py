"""Fixtures shared by all tests."""

import signal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from nasgait.cli.main import main
from nasgait.data.store import StoreWriter
from nasgait.training.checkpoint import Checkpoints

# The same examples on every run: what passes today passes tomorrow.  To explore further:
# pytest --hypothesis-profile=default
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.load_profile("fixed")

# A shell starts what runs in the background with this signal ignored, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="also run the tests marked slow")
    parser.addoption("--soak", action="store_true", help="also run the tests marked soak")
    parser.addoption("--signals", type=int, default=30, help="signals that each stage is sent")


def pytest_collection_modifyitems(config, items):
    for name in ("slow", "soak"):
        for item in items:
            if name in item.keywords and not config.getoption(f"--{name}"):
                item.add_marker(pytest.mark.skip(reason=f"{name}: run with --{name}"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference numbers and real silhouettes beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip("needs the reference numbers and silhouettes in ../shared")
    return SHARED


def moving_blob(rng: np.random.Generator, phase: float, frames: int) -> np.ndarray:
    """A figure of one's own width whose legs swing: uint8 [frames, 64, 64]."""
    rows, columns = np.mgrid[:64, :64]
    swing = np.sin(np.arange(frames) * 0.6 + rng.uniform(0, 6))[:, None, None]
    legs = (rows > 34) & (np.abs(np.abs(columns - 32) - 4 - 4 * np.abs(swing)) < 2 + phase)
    trunk = (rows <= 34) & (np.abs(columns - 32) < 4 + 5 * phase)
    noise = rng.random((frames, 64, 64)) < 0.01
    return (255 * ((legs | trunk) ^ noise)).astype(np.uint8)


@pytest.fixture(scope="session")
def tiny_store(tmp_path_factory) -> Path:
    """12 training and 6 test identities x 4 short sequences; the test ones in GREW's layout."""
    path = tmp_path_factory.mktemp("data") / "tiny"
    rng = np.random.default_rng(0)
    writer = StoreWriter(path)
    for number in range(18):
        test = number >= 12
        for take in range(4):
            frames = moving_blob(rng, number / 18, int(rng.integers(6, 14)))
            kind = f"0{1 + take % 2}" if test and take < 2 else f"nm-{take:02d}"
            writer.add(f"{number:05d}", kind, "00", "test" if test else "train", frames)
    writer.close()
    return path


@pytest.fixture(scope="session")
def tiny_grew(tmp_path_factory) -> Path:
    """As GREW is: 12 training identities, 10 in the gallery twice, 8 unlabelled probes."""
    path = tmp_path_factory.mktemp("data") / "grew"
    rng = np.random.default_rng(1)
    writer = StoreWriter(path)
    for number in range(12):
        for take in range(4):
            clip = moving_blob(rng, number / 22, 8)
            writer.add(f"{number:05d}train", "00", f"{take}", "train", clip)
    for number in range(10):
        for take in ("01", "02"):
            writer.add(f"{number:05d}", take, take, "test", moving_blob(rng, number / 22, 8))
    for number in range(8):
        writer.add("probe", "03", f"video{number}", "test", moving_blob(rng, number / 22, 8))
    writer.close()
    return path


TINY = """
name: tiny
data: {store: STORE, search_val: 4}
threads: 1
supernet: &recipe
  steps: 8
  batch: {ids: 4, seqs: 2, frames: 6}
  optimizer: {kind: adam, lr: 1e-3}
  schedule: {kind: constant}
  augment: {flip: 0.5, rotate: 0.5}
  precision: float32
  checkpoint_every: 3
  log_every: 1
search:
  population: 4
  top_k: 2
  mutations: 2
  crossovers: 1
  max_epochs: 2
  calibration: {sequences: 8}
retrain: {<<: *recipe, loss: {cross_entropy: {weight: 0.1}}}
"""


@pytest.fixture
def tiny_config(tiny_store, tmp_path) -> Path:
    """An experiment over :func:`tiny_store` that takes seconds."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY.replace("STORE", str(tiny_store)))
    return path


@pytest.fixture(scope="session")
def trained(tmp_path_factory, tiny_store) -> tuple[Path, Path]:
    """A configuration, and the checkpoint of a supernet that was trained by it for a few steps."""
    folder = tmp_path_factory.mktemp("supernet")
    config = folder / "tiny.yaml"
    config.write_text(TINY.replace("STORE", str(tiny_store)))
    assert main(["supernet", "--config", str(config), "--out", str(folder / "out")]) == 0
    checkpoint = Checkpoints(folder / "out" / "checkpoints").latest()
    assert checkpoint is not None
    return config, checkpoint


@pytest.fixture
def nasgait(capsys):
    """Run the command in this process: ``nasgait(*words) -> (exit code, stdout, stderr)``."""

    def call(*words: object) -> tuple[int, str, str]:
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call
