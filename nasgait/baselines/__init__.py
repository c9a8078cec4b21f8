"""Hand-designed networks to compare with, one file for each."""
