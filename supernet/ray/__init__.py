"""Scoring by long-lived workers on Ray."""
