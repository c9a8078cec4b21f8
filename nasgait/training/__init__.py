"""The training loop, its optimiser, recipes, checkpoints and output folder."""
