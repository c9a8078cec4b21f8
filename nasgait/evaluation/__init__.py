"""The shared gait evaluator."""
