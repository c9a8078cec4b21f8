"""The errors of :mod:`nasgait.core.errors`, under the name that users know."""

from nasgait.core.errors import (
    BudgetError,
    CheckpointError,
    ConfigError,
    DataError,
    NasgaitError,
    RunFailed,
)

__all__ = [
    "BudgetError",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "NasgaitError",
    "RunFailed",
]
