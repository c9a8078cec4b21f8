"""Figures and the result page of a run."""
