"""The embedded dataset: procedural walkers, their bodies, gaits, clothes and cameras."""
