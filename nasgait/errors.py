"""The errors of :mod:`nasgait.core.errors`, under the name that users know."""

from nasgait.core.errors import *  # noqa: F403
from nasgait.core.errors import __all__ as __all__
