"""Settings: one table that feeds flags, environment variables, the `.env` and TOML files, and the documentation.

Knows every setting's name, variable, default and meaning, and how much of the machine this process was given. Nobody
else reads `os.environ` or the `.env` file, and nothing is written to them: values travel as arguments.
"""

import difflib
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, cast

from dotenv import dotenv_values

from embedhub.choices import NumberType
from embedhub.errors import SettingError
from embedhub.values import (
    address,
    choice,
    count,
    flag,
    from_toml,
    names,
    origins,
    pairs,
    path,
    port,
    positive,
    text,
    web_address,
)

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"


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
        parse=path,
        help="Folder of everything embedhub keeps: models, their calibrations, users and tokens.",
    )
    model: str = _setting(
        DEFAULT_MODEL,
        env="EMBEDHUB_MODEL",
        parse=text,
        help="Model used when none is named: an id or a folder.",
    )
    models: tuple[str, ...] = _setting(
        (),
        env="EMBEDHUB_MODELS",
        parse=names,
        help="Models that a server loads first, with commas between, the default one first; without, EMBEDHUB_MODEL.",
    )
    dtype: str = _setting(
        "auto",
        env="EMBEDHUB_DTYPE",
        parse=choice(*DTYPES),
        help="Number type of the computation: auto (bf16 where the CPU has it, else f32), f32, bf16 or int8.",
    )
    threads: int = _setting(
        0,
        env="EMBEDHUB_THREADS",
        parse=count,
        help="CPU threads in all; 0 takes what this process may use: its cores, or its CPU quota.",
    )
    streams: int = _setting(
        0, env="EMBEDHUB_STREAMS", parse=count, help="Batches computed side by side; 0 takes one a thread."
    )
    pack_tokens: int = _setting(
        0,
        env="EMBEDHUB_PACK_TOKENS",
        parse=count,
        help="Tokens computed at once, in a batch or a pack; 0 takes what a core's cache holds.",
    )
    batch_size: int = _setting(
        32, env="EMBEDHUB_BATCH_SIZE", parse=positive, help="Texts in one length-sorted batch of a job."
    )
    endpoint: str = _setting(
        "https://huggingface.co", env="HF_ENDPOINT", parse=text, help="Hub that models are downloaded from."
    )
    token: str | None = _setting(
        None, env="HF_TOKEN", parse=text, help="Token for that Hub; else the one `hf auth login` stored."
    )
    offline: bool = _setting(
        False,
        env="HF_HUB_OFFLINE",
        parse=flag,
        help="Never use the network: only models that are already here.",
    )
    hf_home: Path = _setting(
        lambda: Path("~/.cache/huggingface").expanduser(),
        env="HF_HOME",
        parse=path,
        help="Hugging Face's folder: its cache of models (hub/) and its token; `XDG_CACHE_HOME` moves the default.",
    )
    hf_cache: Path | None = _setting(
        None, env="HF_HUB_CACHE", parse=path, help="Hugging Face's cache of models, if it is not in HF_HOME."
    )
    config: Path | None = _setting(
        None, env="EMBEDHUB_CONFIG", parse=path, help="A TOML file with settings, behind the variables and `.env`."
    )

    host: str = _setting(
        "127.0.0.1", env="EMBEDHUB_HOST", parse=address, help="Address the server listens on.", group="serve"
    )
    port: int = _setting(8080, env="EMBEDHUB_PORT", parse=port, help="Port the server listens on.", group="serve")
    allow_anonymous: bool = _setting(
        False,
        env="EMBEDHUB_ALLOW_ANONYMOUS",
        parse=flag,
        help="Let those without a token read, also from other machines.",
        group="serve",
    )
    cors_origins: tuple[str, ...] = _setting(
        (),
        env="EMBEDHUB_CORS_ORIGINS",
        parse=origins,
        help="Origins whose web pages may ask, such as `https://example.org`; `*` is all, `none` none. By default all "
        "where a token is needed, else those of this machine.",
        group="serve",
    )
    public_url: str = _setting(
        "",
        env="EMBEDHUB_PUBLIC_URL",
        parse=web_address,
        help="Address under which clients reach the server, such as `https://hub.example.org`, where a proxy stands "
        "before it; empty takes the one each client wrote.",
        group="serve",
    )
    rate_limit: int = _setting(
        0,
        env="EMBEDHUB_RATE_LIMIT",
        parse=count,
        help="Requests a minute for a token, or for an address without one; 0 is no limit.",
        group="serve",
    )
    daily_tokens: int = _setting(
        0,
        env="EMBEDHUB_DAILY_TOKENS",
        parse=count,
        help="Tokens of text a day (UTC) for a token, or for an address without one; 0 is no limit.",
        group="serve",
    )
    allow_models: tuple[str, ...] = _setting(
        (),
        env="EMBEDHUB_ALLOW_MODELS",
        parse=names,
        help="Patterns (such as `intfloat/*`) of models that a request may have downloaded; others must be here.",
        group="serve",
    )
    model_aliases: tuple[tuple[str, str], ...] = _setting(
        (),
        env="EMBEDHUB_MODEL_ALIASES",
        parse=pairs,
        help="Other names for models, `name=model` with commas between, such as `text-embedding-3-small=BAAI/bge-m3`.",
        group="serve",
    )
    token_ids: str = _setting(
        "refuse",
        env="EMBEDHUB_TOKEN_IDS",
        parse=choice(*TOKEN_IDS),
        help="Token ids over OpenAI's API: refuse them, or take them as the model's own or as OpenAI's (cl100k).",
        group="serve",
    )
    tiktoken_cache: Path | None = _setting(
        None,
        env="TIKTOKEN_CACHE_DIR",
        parse=path,
        help="Folder in which tiktoken left OpenAI's vocabulary cl100k_base; else EMBEDHUB_HOME/tiktoken.",
        group="serve",
    )
    model_memory_mb: int = _setting(
        0,
        env="EMBEDHUB_MODEL_MEMORY_MB",
        parse=count,
        help="Memory for loaded models, in MB: beyond it the one not used for longest goes. 0 is half of all.",
        group="serve",
    )
    model_idle_seconds: int = _setting(
        0,
        env="EMBEDHUB_MODEL_IDLE_SECONDS",
        parse=count,
        help="Unload a model that was not used for so long; 0 never does.",
        group="serve",
    )
    search_memory_mb: int = _setting(
        1024,
        env="EMBEDHUB_SEARCH_MEMORY_MB",
        parse=positive,
        help="Memory for hosted datasets that are being searched, in MB: beyond it the one not used for longest goes.",
        group="serve",
    )
    derived_mb: int = _setting(
        10_240,
        env="EMBEDHUB_DERIVED_MB",
        parse=positive,
        help="Disk for what is made of hosted repositories, such as search indexes, in MB, in "
        "EMBEDHUB_HOME/hub/derived; beyond it what was not used for longest goes.",
        group="serve",
    )
    cache_mb: int = _setting(
        64, env="EMBEDHUB_CACHE_MB", parse=count, help="Memory for vectors computed before, in MB.", group="serve"
    )
    cache_disk_mb: int = _setting(
        0,
        env="EMBEDHUB_CACHE_DISK_MB",
        parse=count,
        help="Disk for vectors computed before, in MB, in EMBEDHUB_HOME/cache; 0 keeps none there.",
        group="serve",
    )
    queue_texts: int = _setting(
        100_000,
        env="EMBEDHUB_QUEUE_TEXTS",
        parse=positive,
        help="Texts that may wait for a model; more are refused with status 429.",
        group="serve",
    )
    max_texts: int = _setting(
        20_000, env="EMBEDHUB_MAX_TEXTS", parse=positive, help="Texts in one request.", group="serve"
    )
    max_text_characters: int = _setting(
        1_000_000,
        env="EMBEDHUB_MAX_TEXT_CHARACTERS",
        parse=positive,
        help="Characters of one text.",
        group="serve",
    )
    max_tokens: int = _setting(
        8_000_000, env="EMBEDHUB_MAX_TOKENS", parse=positive, help="Tokens in one request.", group="serve"
    )
    max_body_mb: int = _setting(
        # 20,000 texts of 800 bytes: 200 tokens, about what the default model reads of a text.
        16,
        env="EMBEDHUB_MAX_BODY_MB",
        parse=positive,
        help="Size of one request's body, also after decompression, in MB.",
        group="serve",
    )
    max_commit_mb: int = _setting(
        1024,
        env="EMBEDHUB_MAX_COMMIT_MB",
        parse=positive,
        help="Size of one commit's own body, without its large files, in MB.",
        group="serve",
    )
    max_push_mb: int = _setting(
        10_240,
        env="EMBEDHUB_MAX_PUSH_MB",
        parse=positive,
        help="Size of one push of git, without its large files, in MB.",
        group="serve",
    )
    max_upload_mb: int = _setting(
        1024,
        env="EMBEDHUB_MAX_UPLOAD_MB",
        parse=positive,
        help="Size of a file that somebody sends to have it embedded, in MB; those of all their jobs are four times "
        "that at most.",
        group="serve",
    )
    jobs: int = _setting(
        1,
        env="EMBEDHUB_JOBS",
        parse=count,
        help="Files embedded side by side, of those that people sent; the others wait. 0 embeds none.",
        group="serve",
    )
    body_seconds: int = _setting(
        30,
        env="EMBEDHUB_BODY_SECONDS",
        parse=positive,
        help="How long a client may pause while it sends a request.",
        group="serve",
    )
    answer_seconds: int = _setting(
        600, env="EMBEDHUB_ANSWER_SECONDS", parse=positive, help="How long a request may take.", group="serve"
    )
    grace_seconds: int = _setting(
        30,
        env="EMBEDHUB_GRACE_SECONDS",
        parse=count,
        help="How long a server that is told to stop goes on with what it has begun.",
        group="serve",
    )
    log_format: str = _setting(
        "human",
        env="EMBEDHUB_LOG_FORMAT",
        parse=choice("human", "json"),
        help="How the server's log is written: human (lines for people) or json (an object a line).",
        group="serve",
    )
    log_level: str = _setting(
        "info",
        env="EMBEDHUB_LOG_LEVEL",
        parse=choice("debug", "info", "warning", "error"),
        help="What is not in the server's log: at info details, at warning also every request, at error also warnings.",
        group="serve",
    )
    otlp_endpoint: str = _setting(
        "",
        env="EMBEDHUB_OTLP_ENDPOINT",
        parse=web_address,
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


def read_settings(environ: Mapping[str, str], dotenv: Path | None = None, toml: Path | None = None) -> Settings:
    """Settings from variables, behind them a `.env` file, behind that a TOML file.

    A file that came with somebody's folder and names a Hub must bring the token for it too: the user's own is not
    sent there. Such a file is `.env`, and a TOML file that `.env` names.

    Args:
        environ: the environment.
        dotenv: a `.env` file, which may be missing; only the variables of the table are taken from it.
        toml: the TOML file; None takes the one that EMBEDHUB_CONFIG names, if it does.

    Raises:
        SettingError: a value cannot be understood, or the TOML file cannot be read.
    """
    try:
        # Not interpolated: a `${HF_TOKEN}` in somebody's file would carry the user's secrets into an address.
        from_file = dotenv_values(dotenv, interpolate=False) if dotenv is not None and dotenv.is_file() else {}
    except UnicodeDecodeError as error:
        raise SettingError(f"{dotenv}: not UTF-8 ({error})") from error
    values: dict[str, Any] = {}
    foreign: set[str] = set()
    for setting in table():
        name = cast(str, setting.metadata["env"])
        raw = environ.get(name) or from_file.get(name)
        if not raw:
            continue
        if not environ.get(name):
            foreign.add(setting.name)
        try:
            values[setting.name] = setting.metadata["parse"](raw)
        except (ValueError, RuntimeError) as error:
            # RuntimeError: the home folder of a user that does not exist.
            raise SettingError(f"{name}={raw!r}: {error}") from error
    named = values.get("config") if toml is None else toml
    in_toml = {} if named is None else _read_toml(named)
    brought = from_file.get("HF_TOKEN") or None
    if toml is None and "config" in foreign:
        foreign |= in_toml.keys() - values.keys()
        brought = brought or in_toml.get("token")
    values = in_toml | values | {"config": named}
    if "hf_home" not in values and environ.get("XDG_CACHE_HOME"):
        # As every Hugging Face program does.
        values["hf_home"] = Path(environ["XDG_CACHE_HOME"]).expanduser() / "huggingface"
    if "endpoint" in foreign:
        return Settings(**values | {"token": brought}, without_token=brought is None)
    return Settings(**values)


def _read_toml(file: Path) -> dict[str, Any]:
    """The file's values by the names of their settings."""
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        # ValueError: no UTF-8 or no TOML.
        raise SettingError(f"{file} cannot be read as TOML ({error})") from error
    known = {setting.name: setting.metadata["parse"] for setting in table() if setting.name != "config"}
    values = {}
    for name, value in content.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else "docs/settings.md lists them"
            raise SettingError(f"{file}: there is no setting {name}; {hint}")
        try:
            values[name] = from_toml(known[name], value)
        except (ValueError, RuntimeError) as error:
            raise SettingError(f"{file}: {name} = {value!r:.100}: {error}") from error
    return values


@cache
def settings(toml: Path | None = None) -> Settings:
    """The settings of this process, read once from its environment and the `.env` file of its folder.

    Args:
        toml: a file to use instead of the one that EMBEDHUB_CONFIG names.

    Raises:
        SettingError: see `read_settings`.
    """
    return read_settings(os.environ, Path(".env"), toml)
