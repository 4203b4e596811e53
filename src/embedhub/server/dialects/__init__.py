"""Accents over one core: each folder turns one system's JSON into a task's request and an answer back.

`wire.py` is pure (JSON and types), `routes.py` lists the paths as `Endpoint`s.
"""
