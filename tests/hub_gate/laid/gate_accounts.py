"""Where the server is and who may ask it: what the laid constants are made of. Knows only what `run.py` hands over."""

import json
import os
from pathlib import Path

ENDPOINT = os.environ["HF_ENDPOINT"]

HUB_USER = "__DUMMY_HUB_USER__"
OTHER_USER = "DVUser"
ENTERPRISE_USER = "EnterpriseAdmin"
DATASETS_USER = "__DUMMY_DATASETS_USER__"

_TOKENS: dict[str, str] = json.loads(Path(os.environ["GATE_TOKENS"]).read_text())


def token_of(user: str) -> str:
    """A token of that user that may write; never shown, never kept."""
    return _TOKENS[user]
