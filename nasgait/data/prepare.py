"""Make the store that a configuration asks for, unless it is there."""

import logging
from pathlib import Path
from typing import Any

from nasgait.config.schema import DataConfig, SourceConfig
from nasgait.core.errors import ConfigError, DataError
from nasgait.data.importers import import_dataset
from nasgait.data.layouts import find_layout, list_dataset
from nasgait.data.meta import Meta, read_meta
from nasgait.data.readers import Options
from nasgait.data.sources import reading_options, source_of
from nasgait.data.store import GaitStore, open_store
from nasgait.data.synthetic.dataset import settings_of, write_dataset

logger = logging.getLogger(__name__)


def check_source(config: DataConfig) -> str:
    """Say what :func:`prepare` will do.

    Raises ConfigError for two sources or an unknown layout, DataError when there is neither a store
    nor anything to make it from.
    """
    if config.synth and config.source:
        raise ConfigError("data: give synth or source, not both")
    if config.source:
        find_layout(config.source.layout, "data.source.layout")
    if is_complete(config.store):
        meta = read_meta(Path(config.store))
        if synth := config.synth:
            wanted = settings_of(synth.preset, synth.ids, synth.seqs, synth.seed)
            refuse_difference(config.store, meta.raw.get("synthetic", {}), wanted)
        if config.source:
            check_imported(meta, config)
        return f"use {config.store} ({meta.sequences} sequences)"
    if config.synth:
        return f"make {config.store} from the embedded dataset, preset {config.synth.preset}"
    if config.source:
        found = len(list_dataset(config.source.layout, config.source.root, config.source.partition))
        return (
            f"import {found} sequences of {config.source.root} ({config.source.layout}) "
            f"into {config.store}"
        )
    raise DataError(
        f"data.store {config.store}: is not there; make it with nasgait data import or "
        "nasgait data synth, or give data.source or data.synth in the configuration"
    )


def is_complete(path: str) -> bool:
    """Whether there is a complete store at ``path``."""
    return (Path(path) / "meta.json").exists()


def check_imported(meta: Meta, config: DataConfig) -> None:
    """Refuse a store that was imported from elsewhere; the raw folder may be gone."""
    source = config.source
    assert source is not None
    options = reading_options(source.layout, source.data_in_use, read_options(source))
    wanted = source_of(source.layout, Path(source.root), source.partition, options)
    wanted |= {"size": [source.size, source.size], "bits": source.bits}
    made = meta.raw.get("source", {}) | {key: meta.raw[key] for key in ("size", "bits")}
    made.pop("listing", None)
    wanted = dict.fromkeys(made) | wanted
    refuse_difference(config.store, made, wanted)


def read_options(source: SourceConfig) -> Options:
    """How the files of a source are read."""
    return Options(
        modality=source.modality,
        threshold=source.threshold,
        invert=source.invert,
        alpha=source.alpha,
        skip_frames=source.skip_frames,
    )


def refuse_difference(store: str, made: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Raise DataError for the first setting in which the store differs from what is wanted."""
    for key, value in wanted.items():
        if made.get(key) != value:
            raise DataError(
                f"{store}: was made with {key} {made.get(key)!r}, now asked for is {value!r}; "
                "give another data.store or remove this one"
            )


def prepare(config: DataConfig) -> GaitStore:
    """The store, made first unless it is there; a partial store is resumed."""
    logger.info("data: %s", check_source(config))
    if not is_complete(config.store):
        if synth := config.synth:
            write_dataset(
                config.store, synth.preset, synth.ids, synth.seqs, synth.seed, config.workers
            )
        elif source := config.source:
            summary = import_dataset(
                source.layout,
                source.root,
                config.store,
                bits=source.bits,
                size=(source.size, source.size),
                workers=config.workers,
                partition=source.partition,
                data_in_use=source.data_in_use,
                options=read_options(source),
            )
            for note in summary.notes:
                logger.warning("%s", note)
            for fault in summary.faults:
                logger.warning("left out: %s", fault)
    return open_store(config)
