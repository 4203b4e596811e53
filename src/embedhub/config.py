"""Settings: one table that feeds environment variables, the `.env` file and the documentation.

Knows every setting's name, variable, default and meaning. Nobody else reads `os.environ` or the `.env` file, and
nothing is written to them: values travel as arguments.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, cast

from dotenv import dotenv_values

from embedhub.choices import NumberType
from embedhub.errors import SettingError

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"


def _flag(value: str) -> bool:
    lowered = value.strip().lower()
    if lowered in {"1", "true", "yes", "on"}:
        return True
    if lowered in {"", "0", "false", "no", "off"}:
        return False
    raise ValueError("not a yes or a no")


def _count(value: str) -> int:
    number = int(value)
    if number < 0:
        raise ValueError("negative")
    return number


def _positive(value: str) -> int:
    number = int(value)
    if number < 1:
        raise ValueError("not at least 1")
    return number


def _choice(*allowed: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value not in allowed:
            raise ValueError(f"not one of {', '.join(allowed)}")
        return value

    return parse


def _path(value: str) -> Path:
    return Path(value).expanduser()


def _setting(default: Any, *, env: str, parse: Callable[[str], Any], help: str) -> Any:
    metadata = {"env": env, "parse": parse, "help": help}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


DTYPES = tuple(map(str, NumberType))


@dataclass(frozen=True)
class Settings:
    """What can be set, once read never changed. Each field's metadata holds its variable and its meaning."""

    home: Path = _setting(
        lambda: Path("~/.embedhub").expanduser(),
        env="EMBEDHUB_HOME",
        parse=_path,
        help="Folder of everything embedhub keeps: models and their calibrations.",
    )
    model: str = _setting(
        DEFAULT_MODEL,
        env="EMBEDHUB_MODEL",
        parse=str,
        help="Model used when none is named: an id or a folder.",
    )
    dtype: str = _setting(
        "auto",
        env="EMBEDHUB_DTYPE",
        parse=_choice(*DTYPES),
        help="Number type of the computation: auto (bf16 where the CPU has it, else f32), f32, bf16 or int8.",
    )
    threads: int = _setting(
        0,
        env="EMBEDHUB_THREADS",
        parse=_count,
        help="CPU threads in all; 0 takes every core this process may use.",
    )
    streams: int = _setting(
        0, env="EMBEDHUB_STREAMS", parse=_count, help="Batches computed side by side; 0 takes one a thread."
    )
    pack_tokens: int = _setting(
        0,
        env="EMBEDHUB_PACK_TOKENS",
        parse=_count,
        help="Tokens computed at once, in a batch or a pack; 0 takes what a core's cache holds.",
    )
    batch_size: int = _setting(
        32, env="EMBEDHUB_BATCH_SIZE", parse=_positive, help="Texts in one length-sorted batch of a job."
    )
    endpoint: str = _setting(
        "https://huggingface.co", env="HF_ENDPOINT", parse=str, help="Hub that models are downloaded from."
    )
    token: str | None = _setting(
        None, env="HF_TOKEN", parse=str, help="Token for that Hub; else the one `hf auth login` stored."
    )
    offline: bool = _setting(
        False,
        env="HF_HUB_OFFLINE",
        parse=_flag,
        help="Never use the network: only models that are already here.",
    )
    hf_home: Path = _setting(
        lambda: Path("~/.cache/huggingface").expanduser(),
        env="HF_HOME",
        parse=_path,
        help="Hugging Face's folder: its cache of models (hub/) and its token; `XDG_CACHE_HOME` moves the default.",
    )
    hf_cache: Path | None = _setting(
        None, env="HF_HUB_CACHE", parse=_path, help="Hugging Face's cache of models, if it is not in HF_HOME."
    )

    # Not a setting: a Hub named by a `.env` file that came with somebody's folder must not be sent the user's token.
    without_token: bool = False

    @property
    def model_cache(self) -> Path:
        """Hugging Face's cache of models."""
        return self.hf_cache or self.hf_home / "hub"

    @property
    def hub_token(self) -> str | None:
        """The token to send to the Hub: `HF_TOKEN`, else the one stored by `hf auth login`, else none."""
        if self.without_token:
            return None
        if self.token:
            return self.token
        stored = self.hf_home / "token"
        return stored.read_text().strip() or None if stored.is_file() else None


def table() -> tuple[Field[Any], ...]:
    """Every setting, in order; `field.metadata` holds `env`, `parse` and `help`."""
    return tuple(field for field in fields(Settings) if field.metadata)


def read_settings(environ: Mapping[str, str], dotenv: Path | None = None) -> Settings:
    """Settings from variables, with a `.env` file behind them (a variable that is set wins).

    A `.env` file that names a Hub must bring the token for it too: the user's own is not sent there.

    Args:
        environ: the environment.
        dotenv: a `.env` file, which may be missing; only the variables of the table are taken from it.

    Raises:
        SettingError: a value cannot be understood.
    """
    try:
        # Not interpolated: a `${HF_TOKEN}` in somebody's file would carry the user's secrets into an address.
        from_file = dotenv_values(dotenv, interpolate=False) if dotenv is not None and dotenv.is_file() else {}
    except UnicodeDecodeError as error:
        raise SettingError(f"{dotenv}: not UTF-8 ({error})") from error
    values: dict[str, Any] = {}
    for setting in table():
        name = cast(str, setting.metadata["env"])
        raw = environ.get(name) or from_file.get(name)
        if not raw:
            continue
        try:
            values[setting.name] = setting.metadata["parse"](raw)
        except (ValueError, RuntimeError) as error:
            # RuntimeError: the home folder of a user that does not exist.
            raise SettingError(f"{name}={raw!r}: {error}") from error
    if "hf_home" not in values and environ.get("XDG_CACHE_HOME"):
        # As every Hugging Face program does.
        values["hf_home"] = Path(environ["XDG_CACHE_HOME"]).expanduser() / "huggingface"
    if from_file.get("HF_ENDPOINT") and not environ.get("HF_ENDPOINT"):
        values["token"] = from_file.get("HF_TOKEN") or None
        return Settings(**values, without_token=values["token"] is None)
    return Settings(**values)


@cache
def settings() -> Settings:
    """The settings of this process, read once from its environment and the `.env` file of its folder."""
    return read_settings(os.environ, Path(".env"))


def available_threads() -> int:
    """How many cores this process may use (its affinity mask, which containers set)."""
    return len(os.sched_getaffinity(0))
