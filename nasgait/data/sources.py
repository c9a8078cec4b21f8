"""What a store records of the raw dataset that it was imported from."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from nasgait.core.errors import ConfigError
from nasgait.data.layouts import PUBLISHED, find_layout
from nasgait.data.raw import RawSequence
from nasgait.data.readers import DEFAULTS, Options


def reading_options(
    layout: str, data_in_use: Sequence[bool | int], options: Options = DEFAULTS
) -> Options:
    """``options`` with the pickle that ``data_in_use`` chooses.

    ``data_in_use`` has a flag for each pickle of a folder, in the order of their names, as in
    OpenGait's configurations, or the number of the one that holds the silhouettes.  Raises
    ConfigError when the layout has no pickles, or not exactly one of them is chosen.
    """
    if not data_in_use:
        return options
    if not find_layout(layout).many_files:
        raise ConfigError(f"data_in_use chooses among pickles; layout {layout} has none")
    if options.modality is not None:
        raise ConfigError("data_in_use and modality both choose a pickle; give one of them")
    flags = all(isinstance(value, bool) for value in data_in_use)
    chosen = [i for i, used in enumerate(data_in_use) if used] if flags else list(data_in_use)
    if len(chosen) != 1 or chosen[0] < 0:
        raise ConfigError(
            f"data_in_use {list(data_in_use)} must choose one pickle, that of the silhouettes: "
            "[true, false] or its number from 0, [0]"
        )
    return replace(options, number=int(chosen[0]))


def source_of(
    layout: str, root: Path, partition: str | os.PathLike[str] | None, options: Options
) -> dict[str, Any]:
    """What a store records of its source, without what is not set."""
    named = find_layout(layout).default_partition if partition is None else str(partition)
    if named is not None and named not in PUBLISHED:
        named = str(Path(named).resolve())
    source = {"layout": layout, "root": str(root.resolve()), "partition": named}
    return {key: value for key, value in source.items() if value is not None} | options.chosen()


def other_source(found: dict[str, Any], source: dict[str, Any]) -> str:
    """What a store was made from, where that is not ``source``, for a message."""
    changed = [key for key in source | found if found.get(key) != source.get(key)]
    if not found or "layout" in changed or "root" in changed:
        return f"{found.get('layout')} {found.get('root')}" if found else "something else"
    if changed[0] == "listing":
        return "this folder when it held other sequences"
    return f"this folder with {changed[0]} {found.get(changed[0])}"


def digest(listing: Sequence[RawSequence]) -> str:
    """sha256 of the names of all sequences, which identifies the listing."""
    text = "\n".join(f"{raw.folder}\t{raw.subset}" for raw in listing)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
