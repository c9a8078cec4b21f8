"""Multiply-accumulates and parameters of networks."""
