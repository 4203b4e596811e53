"""`embedhub serve`. Its flags are the settings' table: a setting of the group `serve` is a flag."""

import inspect
from dataclasses import Field, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from embedhub.config import settings, table
from embedhub.errors import SettingError
from embedhub.values import flag, placeholder

# Chapters of the help, and settings of other groups that a server has a say in. The others come under "Limits".
_CHAPTERS = {
    "Address and access": (
        "host",
        "port",
        "public_url",
        "allow_anonymous",
        "cors_origins",
        "rate_limit",
        "daily_tokens",
    ),
    "Models": (
        "allow_models",
        "model_aliases",
        "model_memory_mb",
        "model_idle_seconds",
        "offline",
        "dtype",
        "threads",
        "streams",
    ),
    "Memory of vectors": ("cache_mb", "cache_disk_mb"),
}
_REST = "Limits and times"


def _flags() -> list[tuple[str, Field[Any]]]:
    """Every setting that is a flag, under its chapter, in the order of the help."""
    fields = {field.name: field for field in table()}
    chosen = [(chapter, fields.pop(name)) for chapter, names in _CHAPTERS.items() for name in names]
    return chosen + [(_REST, field) for field in fields.values() if field.metadata["group"] == "serve"]


def serve(model: list[str] | None = None, config: Path | None = None, **flags: str | bool | None) -> None:
    """Serve models over the APIs of Hugging Face, OpenAI, text-embeddings-inference, Cohere and Jina.

    Every flag is also a variable and a key of a TOML file: --max-texts is EMBEDHUB_MAX_TEXTS and max_texts. The flag
    wins, then the variable, then the .env file, then the TOML file.
    """
    from embedhub.server.run import serve as run

    given: dict[str, Any] = {}
    for _, field in _flags():
        raw = flags.get(field.name)
        if raw is None:
            continue
        try:
            given[field.name] = raw if isinstance(raw, bool) else field.metadata["parse"](raw)
        except ValueError as error:
            raise SettingError(f"--{_flag(field.name)} {raw!r}: {error}") from error
    run(replace(settings(config), **given), model or ())


def _flag(name: str) -> str:
    return name.replace("_", "-")


def _signature() -> inspect.Signature:
    """What Typer reads: `--model`, `--config` and a flag for every setting."""
    model = typer.Option(
        help="Model to load first; the first is the default one. Can be given several times (EMBEDHUB_MODELS=A,B).",
        metavar="MODEL",
        show_default=False,
        rich_help_panel="Models",
    )
    config = typer.Option(
        help="A TOML file with settings.",
        metavar="FILE",
        show_default=False,
        rich_help_panel="Address and access",
    )
    parameters = [_parameter("model", list[str] | None, model), _parameter("config", Path | None, config)]
    for chapter, field in _flags():
        yes_or_no = field.metadata["parse"] is flag
        name, variable = _flag(field.name), field.metadata["env"]
        option = typer.Option(
            f"--{name}/--no-{name}" if yes_or_no else f"--{name}",
            help=_help(field, variable),
            metavar="" if yes_or_no else placeholder(field.metadata["parse"]),
            show_default=False,
            rich_help_panel=chapter,
        )
        parameters.append(_parameter(field.name, (bool if yes_or_no else str) | None, option))
    return inspect.Signature(parameters)


def _help(field: Field[Any], variable: str) -> str:
    named = "" if variable == f"EMBEDHUB_{field.name.upper()}" else f" ({variable})"
    default = field.default if isinstance(field.default, str | int) and not isinstance(field.default, bool) else ""
    shown = f" Default: {default}." if default != "" else ""
    # What stands in brackets would be taken for a style.
    return f"{field.metadata['help']}{shown}{named}".replace("[", "\\[")


def _parameter(name: str, type: Any, option: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[type, option])


serve.__signature__ = _signature()  # type: ignore[attr-defined]
