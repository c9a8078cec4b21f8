"""The lowest layer: errors, files, random streams, processes, precision."""
