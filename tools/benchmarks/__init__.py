"""Speed of nasgait beside plain torch, plain loops and the published implementations."""
