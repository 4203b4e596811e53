"""OpenVINO without its telemetry: the one place where it is imported.

`import openvino` also loads its model converter, which reports the import to Intel unless the user has opted out, and
writes a user id into the home folder. The converter is not needed to run graphs, and OpenVINO does without it where it
is missing; so it is made to look missing while OpenVINO is imported.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_CONVERTER = "openvino.tools.ovc"


@contextmanager
def _missing(module: str) -> Iterator[None]:
    """Make importing a module fail while the block runs, unless somebody has imported it before."""
    known = module in sys.modules
    if not known:
        sys.modules[module] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if not known:
            del sys.modules[module]


with _missing(_CONVERTER):
    import openvino as ov  # noqa: TID251
    import openvino.opset13 as op  # noqa: TID251

__all__ = ["op", "ov"]
