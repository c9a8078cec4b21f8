"""How good architectures are by the supernet's weights, what they share computed once."""
