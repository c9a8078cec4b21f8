"""Hand-designed networks to compare with, one file each; the registry lists them."""
