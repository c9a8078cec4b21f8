"""Network parts shared by the searched and the hand-designed networks."""
