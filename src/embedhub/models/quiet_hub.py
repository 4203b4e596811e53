"""huggingface_hub without telemetry: the one place where it is imported.

The library that it moves large files with posts how long each transfer took to the Hub, unless the user has opted out.
Whoever sets HF_HUB_DISABLE_TELEMETRY has the say. Imported only where a Hub is asked: it takes half a second.
"""

import os

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import huggingface_hub
from huggingface_hub import errors
from huggingface_hub.utils.tqdm import disable_progress_bars

__all__ = ["disable_progress_bars", "errors", "huggingface_hub"]
