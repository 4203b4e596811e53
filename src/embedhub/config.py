"""Settings: one table that feeds environment variables, the `.env` file and the documentation.

Knows every setting's name, variable, default and meaning, and how much of the machine this process was given. Nobody
else reads `os.environ` or the `.env` file, and nothing is written to them: values travel as arguments.
"""

import math
import operator
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


def _port(value: str) -> int:
    number = int(value)
    if not 0 <= number <= 65535:
        raise ValueError("not a port, 0 to 65535")
    return number


def _web_address(value: str) -> str:
    if not value.startswith(("http://", "https://")):
        raise ValueError("not an address such as http://127.0.0.1:4318")
    return value.rstrip("/")


def _names(value: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in value.split(",") if name.strip())


def _pairs(value: str) -> tuple[tuple[str, str], ...]:
    pairs = [name.partition("=") for name in _names(value)]
    if any(not name.strip() or not model.strip() for name, _, model in pairs):
        raise ValueError("not name=model")
    return tuple((name.strip(), model.strip()) for name, _, model in pairs)


def _setting(default: Any, *, env: str, parse: Callable[[str], Any], help: str, group: str = "") -> Any:
    metadata = {"env": env, "parse": parse, "help": help, "group": group}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


DTYPES = tuple(map(str, NumberType))

TOKEN_IDS = ("refuse", "model", "cl100k")


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
        help="CPU threads in all; 0 takes what this process may use: its cores, or its CPU quota.",
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

    host: str = _setting(
        "127.0.0.1", env="EMBEDHUB_HOST", parse=str, help="Address the server listens on.", group="serve"
    )
    port: int = _setting(8080, env="EMBEDHUB_PORT", parse=_port, help="Port the server listens on.", group="serve")
    allow_models: tuple[str, ...] = _setting(
        (),
        env="EMBEDHUB_ALLOW_MODELS",
        parse=_names,
        help="Patterns (such as `intfloat/*`) of models that a request may have downloaded; others must be here.",
        group="serve",
    )
    model_aliases: tuple[tuple[str, str], ...] = _setting(
        (),
        env="EMBEDHUB_MODEL_ALIASES",
        parse=_pairs,
        help="Other names for models, `name=model` with commas between, such as `text-embedding-3-small=BAAI/bge-m3`.",
        group="serve",
    )
    token_ids: str = _setting(
        "refuse",
        env="EMBEDHUB_TOKEN_IDS",
        parse=_choice(*TOKEN_IDS),
        help="Token ids over OpenAI's API: refuse them, or take them as the model's own or as OpenAI's (cl100k).",
        group="serve",
    )
    tiktoken_cache: Path | None = _setting(
        None,
        env="TIKTOKEN_CACHE_DIR",
        parse=_path,
        help="Folder in which tiktoken left OpenAI's vocabulary cl100k_base; else EMBEDHUB_HOME/tiktoken.",
        group="serve",
    )
    model_memory_mb: int = _setting(
        0,
        env="EMBEDHUB_MODEL_MEMORY_MB",
        parse=_count,
        help="Memory for loaded models, in MB: beyond it the one not used for longest goes. 0 is half the machine's.",
        group="serve",
    )
    model_idle_seconds: int = _setting(
        0,
        env="EMBEDHUB_MODEL_IDLE_SECONDS",
        parse=_count,
        help="Unload a model that was not used for so long; 0 never does.",
        group="serve",
    )
    cache_mb: int = _setting(
        64, env="EMBEDHUB_CACHE_MB", parse=_count, help="Memory for vectors computed before, in MB.", group="serve"
    )
    cache_disk_mb: int = _setting(
        0,
        env="EMBEDHUB_CACHE_DISK_MB",
        parse=_count,
        help="Disk for vectors computed before, in MB, in EMBEDHUB_HOME/cache; 0 keeps none there.",
        group="serve",
    )
    queue_texts: int = _setting(
        100_000,
        env="EMBEDHUB_QUEUE_TEXTS",
        parse=_positive,
        help="Texts that may wait for a model; more are refused with status 429.",
        group="serve",
    )
    max_texts: int = _setting(
        20_000, env="EMBEDHUB_MAX_TEXTS", parse=_positive, help="Texts in one request.", group="serve"
    )
    max_text_characters: int = _setting(
        1_000_000,
        env="EMBEDHUB_MAX_TEXT_CHARACTERS",
        parse=_positive,
        help="Characters of one text.",
        group="serve",
    )
    max_tokens: int = _setting(
        8_000_000, env="EMBEDHUB_MAX_TOKENS", parse=_positive, help="Tokens in one request.", group="serve"
    )
    max_body_mb: int = _setting(
        64,
        env="EMBEDHUB_MAX_BODY_MB",
        parse=_positive,
        help="Size of one request's body, also after decompression, in MB.",
        group="serve",
    )
    body_seconds: int = _setting(
        30,
        env="EMBEDHUB_BODY_SECONDS",
        parse=_positive,
        help="How long a client may pause while it sends a request.",
        group="serve",
    )
    answer_seconds: int = _setting(
        600, env="EMBEDHUB_ANSWER_SECONDS", parse=_positive, help="How long a request may take.", group="serve"
    )
    grace_seconds: int = _setting(
        30,
        env="EMBEDHUB_GRACE_SECONDS",
        parse=_count,
        help="How long a server that is told to stop goes on with what it has begun.",
        group="serve",
    )
    log_format: str = _setting(
        "human",
        env="EMBEDHUB_LOG_FORMAT",
        parse=_choice("human", "json"),
        help="How the server's log is written: human (lines for people) or json (an object a line).",
        group="serve",
    )
    log_level: str = _setting(
        "info",
        env="EMBEDHUB_LOG_LEVEL",
        parse=_choice("debug", "info", "warning", "error"),
        help="What is not in the server's log: at info details, at warning also every request, at error also warnings.",
        group="serve",
    )
    otlp_endpoint: str = _setting(
        "",
        env="EMBEDHUB_OTLP_ENDPOINT",
        parse=_web_address,
        help="Where spans are sent, such as `http://127.0.0.1:4318`; empty sends none. Needs `embedhub[otel]`.",
        group="serve",
    )

    # Not a setting: a Hub named by a `.env` file that came with somebody's folder must not be sent the user's token.
    without_token: bool = False

    @property
    def vocabularies(self) -> Path:
        """Folder of vocabularies that belong to no model."""
        return self.tiktoken_cache or self.home / "tiktoken"

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
    """Every setting, in order; `field.metadata` holds `env`, `parse`, `help` and `group` (`serve`, or empty)."""
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


def whole_number(name: str, value: Any, *, low: int = 1) -> int:
    """A caller's argument as a whole number.

    Raises:
        SettingError: it is none, or one below `low`; the message has the argument's name.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = low - 1
    if number < low or isinstance(value, bool):
        raise SettingError(f"{name} must be a whole number of at least {low}, not {value!r}")
    return number


def available_threads() -> int:
    """How many cores this process may use: those of its affinity mask, or fewer where a container has a CPU quota."""
    # macOS has no affinity masks.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota()
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def cpu_quota(groups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> float | None:
    """How many CPUs' time the control groups of this process grant it, or None without a limit.

    The files are those of the Linux kernel's documentation: `cpu.max` (cgroup v2), `cpu.cfs_quota_us` and
    `cpu.cfs_period_us` (v1). The tightest limit of a group and those around it counts.

    Args:
        groups: where the groups lie.
        own: the file that says which of them are this process's.
    """
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return None
    quotas: list[float | None] = []
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = groups / "cpu" if controllers else groups
        inner = Path(path.strip("/"))
        # A container may be told a path that lies outside of what it sees; its own group is then the top one.
        around = [Path()] if ".." in inner.parts else [inner, *inner.parents]
        quotas += [_quota_of(top / part) for part in around]
    return min((quota for quota in quotas if quota is not None), default=None)


def _quota_of(group: Path) -> float | None:
    try:
        if (group / "cpu.max").is_file():
            quota, period = (group / "cpu.max").read_text().split()
        else:
            quota, period = ((group / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        # No limit is the word max in v2 and -1 in v1.
        return int(quota) / int(period) if int(quota) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None
