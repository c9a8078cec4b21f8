"""What can be built: search spaces, architectures, and the networks that they describe."""
