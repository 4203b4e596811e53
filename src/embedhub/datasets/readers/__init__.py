"""One file a family of formats: each validates a file up front (scan) and reads it in batches (batches).

The table of formats is in `embedhub.datasets.source`, which is the only caller.
"""
