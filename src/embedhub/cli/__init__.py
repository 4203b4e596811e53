"""Terminal in, terminal out."""
