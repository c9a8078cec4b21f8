"""Which silhouettes, and where they come from."""

from dataclasses import dataclass
from typing import Literal

from nasgait.config.schema.bounds import Count, Positive, Whole


@dataclass(frozen=True)
class SynthConfig:
    """The embedded dataset (``nasgait data synth``)."""

    preset: Literal["wild", "wild-mini", "lab"] = "wild-mini"
    """Which population and which covariates; the dataset's card describes each."""
    ids: Count | None = None
    """Number of identities; the preset's own number by default."""
    seqs: Count | None = None
    """Sequences for each identity; the preset's own number by default."""
    seed: Whole = 0
    """The same seed gives the same frames."""


@dataclass(frozen=True)
class SourceConfig:
    """Raw silhouettes to import (``nasgait data import``)."""

    layout: str
    """How the folders below ``root`` are arranged; ``nasgait data import --help`` lists the
    names."""
    root: str
    """The dataset's folder."""
    bits: Literal[1, 8] = 8
    """Bits per pixel in the store; 1 takes an eighth of the space and binarises at 128."""
    size: Count = 64
    """Height and width of the store's frames; 128 for networks that take 128 x 88."""
    partition: str | None = None
    """Who trains and who tests: ``casia-b``, ``casia-b-73`` (without subject 005, as HSTL),
    ``oumvlp``, or an OpenGait partition JSON.  By default the published one of the layout; pickles:
    GREW's names decide, or else the first half of the identities trains; Gait3D needs one."""
    data_in_use: tuple[bool | Whole, ...] = ()
    """``opengait-pkl`` only, where folders hold several pickles: which of them, in the order of
    their names, is that of the silhouettes: a flag for each ([true, false]) or its number ([0]).
    Folders that hold other pickles are left out."""
    modality: str | None = None
    """Where folders hold several files of a sequence: which of them, by name; ``sils`` takes
    ``000-sils.pkl``, ``png`` takes PNG files where there are JPG ones too."""
    threshold: Whole | None = None
    """Pixels at or above it (1 to 255) are the person; by default values are understood where that
    is certain (0 and 1, two colours, 0 to 255)."""
    invert: bool | None = None
    """Whether the person is darker than the background; found out by default."""
    alpha: bool | None = None
    """Whether the alpha channel is the mask; found out by default."""
    skip_frames: bool = False
    """A frame that cannot be read is left out, instead of its whole sequence."""


@dataclass(frozen=True)
class DataConfig:
    """Which silhouettes, and which identities serve for what."""

    store: str
    """The packed store, a directory."""
    synth: SynthConfig | None = None
    """Make the store from the embedded dataset when it is not there."""
    source: SourceConfig | None = None
    """Make the store from raw silhouettes when it is not there."""
    train_ids: Count | None = None
    """Only the first so many training identities, in sorted order, serve (search-val included);
    all by default.  GREW is published with 500, 5,000 and 20,000."""
    search_val: Positive = 0.2
    """Training identities kept apart to score architectures: a share below 1, or a
    number of identities.  Ignored when the store marks its own (subset ``search-val``)."""
    split_seed: Whole = 0
    """Which training identities become search-val."""
    workers: Count | None = None
    """Processes that make the store; all cores by default."""
    on_damage: Literal["error", "skip"] = "error"
    """Damaged sequences of the store end the run (error), or are left out (skip): each stage then
    reads the whole store before it begins, and results list the sequences."""
