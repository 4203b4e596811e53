"""Files that people send, embedded by processes of their own and hosted."""
