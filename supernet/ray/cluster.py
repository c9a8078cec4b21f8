"""The Ray cluster of a search: one that runs, or one that is started here and stopped after."""

import contextlib
import io
import logging
import math
import os
import signal
import socket
import tempfile
from collections.abc import Iterator
from typing import Any
from unittest import mock

import ray
from ray._private import ray_constants

from nasgait.config.schema import RayConfig
from nasgait.core import interrupts
from nasgait.core.errors import ConfigError
from nasgait.core.pool import cores
from nasgait.core.process_reaper import reaping
from supernet.ray.worker import first_line

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # A worker without GPUs uses the CPU by itself, so Ray need not hide the GPUs.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
}
"""Settings of Ray and Tune, unless the environment has others."""

HERE = "127.0.0.1"

CONNECT_SECONDS = 10
"""How long to wait for an answer from a cluster's address."""

EMPTY_SETTINGS = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""A frame of HTTP/2: length 0, type SETTINGS, no flags, stream 0."""

OBJECT_STORE = 100 * 2**20
"""Bytes of a local cluster's object store, which holds next to nothing."""

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def cluster(settings: RayConfig, threads: int) -> Iterator[None]:
    """Join the cluster that the settings name, or start one on this machine and stop it after.

    Args:
        settings: the cluster, and what each worker needs.
        threads: CPU threads of each worker.

    Raises:
        ConfigError: nothing answers at the address, or no node is large enough for a worker.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # Ray and Tune print tables and the fate of workers; stdout is for results.
    with contextlib.redirect_stdout(io.StringIO()), contextlib.ExitStack() as ends:
        folder = None
        if settings.address is None:
            # Short: Ray puts sockets there, whose names may have 107 letters.
            folder = tempfile.mkdtemp(prefix="nasgait-ray-")
            # Most of Ray's processes end with this one; some agents take a minute.
            ends.enter_context(reaping(folder))
            ends.enter_context(this_machine_alone())
        ends.callback(ray.shutdown)
        connect(settings, threads, folder)
        interrupts.install()  # Ray's own handler of SIGTERM would end this process at once
        check_room(settings, threads)
        yield


def connect(settings: RayConfig, threads: int, folder: str | None) -> None:
    """Connect to the cluster, or start it with its files in ``folder``; ConfigError if that fails.

    A cluster that is started here listens on this machine alone.
    """
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    try:
        if settings.address is not None:
            check_address(settings.address)
            ray.init(address=settings.address, **quiet)
        else:
            ray.init(
                address="local",  # whatever RAY_ADDRESS says
                num_cpus=math.ceil(settings.workers * cpus(settings, threads)),
                num_gpus=None if settings.gpus else 0,
                include_dashboard=False,
                _node_ip_address=HERE,
                _temp_dir=folder,
                object_store_memory=OBJECT_STORE,
                **quiet,
            )
    except SystemExit as stop:  # of the handler that Ray sets before it starts anything
        if stop.code != signal.SIGTERM:
            raise
        raise interrupts.Interrupted(signal.SIGTERM) from None
    except Exception as error:  # Ray raises Exception itself where a process of it fails
        where = "on this machine" if settings.address is None else f"at {settings.address}"
        raise ConfigError(f"search.ray: no cluster {where}: {first_line(error)}") from error


@contextlib.contextmanager
def this_machine_alone() -> Iterator[None]:
    """Have the clusters that are started in this block listen on 127.0.0.1, all processes of them.

    Ray turns that address into one that others reach, unless told that this system is one of those
    on which it makes no clusters of several machines.  It reads the variable when it is imported.
    """
    variable, before = ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR, ray_constants.ENABLE_RAY_CLUSTER
    with mock.patch.dict(os.environ, {variable: "0"}):
        ray_constants.ENABLE_RAY_CLUSTER = False
        try:
            yield
        finally:
            ray_constants.ENABLE_RAY_CLUSTER = before


def cpus(settings: RayConfig, threads: int) -> float:
    """CPUs that Ray reserves for a worker."""
    return settings.cpus or threads


def check_address(address: str) -> None:
    """Raise ConfigError unless something answers at ``host:port``; Ray itself resolves ``auto``."""
    if address == "auto":
        return
    host, colon, port = address.rpartition(":")
    if not colon or "/" in host or not port.isdecimal():
        raise ConfigError(
            f"search.ray.address {address}: allowed are auto and host:port of a cluster that this "
            "machine is a node of, e.g. 10.0.0.1:6379"
        )
    try:
        with socket.create_connection((host, int(port)), CONNECT_SECONDS) as connection:
            # Ray itself would try for minutes to connect to something that is not Ray.
            if os.environ.get("RAY_USE_TLS", "0") == "0" and not speaks_http2(connection):
                raise OSError("what listens there is not Ray")
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"search.ray.address {address}: no cluster answers there ({error}); start one with "
            "ray start --head, or omit the address"
        ) from None


def speaks_http2(connection: socket.socket) -> bool:
    """Whether the other end answers an HTTP/2 preface with settings, as gRPC does (RFC 9113)."""
    connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + EMPTY_SETTINGS)
    head = connection.recv(len(EMPTY_SETTINGS), socket.MSG_WAITALL)
    return len(head) == len(EMPTY_SETTINGS) and head[3] == EMPTY_SETTINGS[3]


def check_room(settings: RayConfig, threads: int) -> None:
    """Raise ConfigError if no node is large enough for a worker; warn if not all fit at once."""
    need = {"CPU": cpus(settings, threads), "GPU": settings.gpus}
    fit = 0
    for node in ray.nodes():
        if node["Alive"]:
            has = node["Resources"]
            fit += int(min(has.get(name, 0) / some for name, some in need.items() if some))
    size = f"{need['CPU']:g} CPUs" + (f" and {need['GPU']:g} GPUs" if need["GPU"] else "")
    if not fit:
        raise ConfigError(
            f"search.ray: no node has {size} for a worker; lower search.ray.cpus or .gpus"
        )
    if settings.address is None and settings.workers * threads > cores():
        logger.warning(
            f"{settings.workers} workers with {threads} threads each share {cores()} cores: they "
            "start one after another and compute no faster than fewer; lower search.ray.workers"
        )
    if fit < settings.workers:
        logger.warning("%d of %d workers fit at once, with %s each", fit, settings.workers, size)
