"""Convolutions by the fastest way that a device has: tensors in, tensors out."""
