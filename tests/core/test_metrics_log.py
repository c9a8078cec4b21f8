"""Metrics that read as if a resumed run had never stopped, and log lines on stderr."""

import json
import logging
import subprocess
import sys
from contextlib import closing

import pytest
import torch

from nasgait.core.checksum import checked
from nasgait.core.metrics_log import METRICS, MetricsLog, read_metrics, setup_logging


@pytest.fixture
def root_logger():
    """Put the loggers back as they were."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    logging.getLogger("nasgait").setLevel(logging.NOTSET)


def write(directory, start, steps):
    with closing(MetricsLog(directory, start)) as metrics:
        for step in steps:
            metrics.log(step, {"loss": torch.tensor(1 / step), "lr": 0.1})


def test_one_object_for_each_step(tmp_path):
    write(tmp_path / "run", 0, [1, 2])
    lines = (tmp_path / "run" / METRICS).read_text().splitlines()
    assert [checked(json.loads(line), required=True) for line in lines] == [
        {"step": 1, "loss": 1.0, "lr": 0.1},
        {"step": 2, "loss": 0.5, "lr": 0.1},
    ]


def test_a_line_is_on_disk_at_once(tmp_path):
    metrics = MetricsLog(tmp_path)
    metrics.log(1, {"loss": 2.0})
    assert read_metrics(tmp_path / METRICS) == [{"step": 1, "loss": 2.0}]
    metrics.close()


def test_values_that_json_lacks(tmp_path):
    with closing(MetricsLog(tmp_path)) as metrics:
        metrics.log(1, {"loss": float("nan"), "norm": float("inf")})
    assert read_metrics(tmp_path / METRICS) == [{"step": 1, "loss": None, "norm": None}]


def test_resuming_cuts_off_what_came_later(tmp_path):
    write(tmp_path, 0, [10, 20, 30, 40])
    write(tmp_path, 20, [30, 35])
    assert [row["step"] for row in read_metrics(tmp_path / METRICS)] == [10, 20, 30, 35]


def test_resumed_equals_undisturbed(tmp_path):
    write(tmp_path / "a", 0, [10, 20, 30, 40])
    write(tmp_path / "b", 0, [10, 20, 30])
    write(tmp_path / "b", 20, [30, 40])
    assert (tmp_path / "a" / METRICS).read_bytes() == (tmp_path / "b" / METRICS).read_bytes()


def test_a_line_that_a_kill_tore_is_dropped(tmp_path):
    write(tmp_path, 0, [10, 20])
    with (tmp_path / METRICS).open("a") as file:
        file.write('{"step": 15, "lo')
    write(tmp_path, 20, [30])
    assert [row["step"] for row in read_metrics(tmp_path / METRICS)] == [10, 20, 30]
    assert len((tmp_path / METRICS).read_text().splitlines()) == 3


def test_tensorboard_shows_each_step_once(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    write(tmp_path, 0, [10, 20, 30, 40])
    write(tmp_path, 20, [30, 50])
    events = EventAccumulator(str(tmp_path)).Reload()
    assert sorted(events.Tags()["scalars"]) == ["loss", "lr"]
    assert [event.step for event in events.Scalars("loss")] == [10, 20, 30, 50]
    assert events.Scalars("loss")[0].value == pytest.approx(0.1)


def test_importing_does_not_load_tensorboard():
    code = "import sys, nasgait.core.metrics_log; sys.exit('tensorboard' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_lines_go_to_stderr(capsys, root_logger):
    setup_logging()
    logging.getLogger("nasgait.training.loop").info("step %d", 5)
    logging.getLogger("nasgait.training.loop").debug("hidden")
    logging.getLogger("elsewhere").info("hidden")
    logging.getLogger("elsewhere").warning("shown")
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.split(" ", 1)[1] for line in err.splitlines()] == ["I step 5", "W shown"]


def test_verbose(capsys, root_logger):
    setup_logging()
    setup_logging(verbose=True)
    logging.getLogger("supernet").debug("shown once")
    assert capsys.readouterr().err.count("shown once") == 1
