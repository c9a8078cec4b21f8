"""The library that all nasgait stages share."""
