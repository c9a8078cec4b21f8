"""Convolutions in the form that is fastest: tensors in, tensors out."""
