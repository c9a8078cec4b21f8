"""The weight-sharing network: training, recalibration, scoring and search."""
