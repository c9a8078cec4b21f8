"""The nasgait command: one module for each subcommand."""
