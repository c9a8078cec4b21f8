"""The library that all nasgait stages share."""

__version__ = "0.1.0"
