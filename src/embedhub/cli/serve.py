"""`embedhub serve`. Its flags are the settings' table: a setting of the group `serve` is a flag."""

import inspect
from dataclasses import Field, replace
from typing import Annotated, Any

import typer

from embedhub.config import DTYPES, settings, table
from embedhub.errors import SettingError

_SHARED = ("dtype", "threads", "streams", "offline")


def _flags() -> list[Field[Any]]:
    return [field for field in table() if field.metadata["group"] == "serve" or field.name in _SHARED]


def serve(model: list[str] | None = None, **flags: str | None) -> None:
    """Serve models over the APIs of Hugging Face, OpenAI, text-embeddings-inference, Cohere and Jina."""
    from embedhub.server.run import serve as run

    given: dict[str, Any] = {}
    for field in _flags():
        raw = flags.get(field.name)
        if raw is None:
            continue
        try:
            given[field.name] = field.metadata["parse"](raw)
        except ValueError as error:
            raise SettingError(f"--{_flag(field.name)} {raw!r}: {error}") from error
    run(replace(settings(), **given), model or ())


def _flag(name: str) -> str:
    return name.replace("_", "-")


def _signature() -> inspect.Signature:
    """What Typer reads: `--model` and a flag for every setting."""
    model = typer.Option(help="Model to load first; the first is the default one. Can be given several times.")
    parameters = [
        inspect.Parameter(
            "model", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[list[str] | None, model]
        )
    ]
    for field in _flags():
        option = typer.Option(
            f"--{_flag(field.name)}",
            help=f"{field.metadata['help']} ({field.metadata['env']})",
            metavar="|".join(DTYPES) if field.name == "dtype" else "VALUE",
            show_default=False,
        )
        annotation = Annotated[str | None, option]
        parameters.append(
            inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        )
    return inspect.Signature(parameters)


serve.__signature__ = _signature()  # type: ignore[attr-defined]
