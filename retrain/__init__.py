"""Training and evaluation of chosen architectures and baselines."""
