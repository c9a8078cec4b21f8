"""Reads configs and checkpoints of OpenGait, SPOSGait, HSTL and SelfGait."""
