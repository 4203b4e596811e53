"""`embedhub models list`, `pull`, `info`, `calibrate`, `export` and `remove`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from embedhub.choices import NumberType, OnnxForm
from embedhub.cli.datasets import JsonOption
from embedhub.config import settings
from embedhub.errors import InputNotFoundError

if TYPE_CHECKING:
    from embedhub.models import ModelSpec

app = typer.Typer(help="Models on this machine: list, pull, info, calibrate, export, remove.", no_args_is_help=True)

IdArgument = Annotated[str, typer.Argument(help="organisation/name, also with @revision, or a folder.")]


@app.command("list")
def list_models(json: JsonOption = False) -> None:
    """List the models that are here."""
    from embedhub.cli.output import print_json, print_table, say
    from embedhub.models import installed_models

    found = installed_models(settings())
    if json:
        print_json(
            [
                {
                    "id": spec.id,
                    "kind": spec.kind,
                    "revision": spec.revision,
                    "source": spec.source,
                    "folder": spec.folder,
                }
                for spec in found
            ]
        )
    elif found:
        rows = [(spec.id, spec.kind, spec.revision or "", spec.source, _gives(spec)) for spec in found]
        print_table(("model", "kind", "revision", "source", "gives"), rows)
    else:
        say("no models here yet; `embedhub models pull ID` fetches one")


def _gives(spec: "ModelSpec") -> str:
    if spec.kind == "classifier":
        return f"{len(spec.labels)} label{'s' * (len(spec.labels) > 1)}"
    return f"{spec.dimensions} dimensions"


@app.command("pull")
def pull(id: IdArgument, json: JsonOption = False) -> None:
    """Fetch a model, or a newer revision of it."""
    from embedhub.cli.output import RESULTS, print_json
    from embedhub.models import card_summary, pull_model

    spec = pull_model(id, settings=settings())
    if json:
        print_json(card_summary(spec))
    else:
        RESULTS.print(f"{spec.id} {spec.revision or ''} in {spec.folder}", markup=False)


@app.command("info")
def info(
    id: IdArgument,
    dtype: Annotated[NumberType | None, typer.Option(help="Number type.", show_default=False)] = None,
    json: JsonOption = False,
) -> None:
    """Tell everything about a model, as it runs on this machine."""
    from embedhub.cli.output import print_fields, print_json
    from embedhub.engine.classifier import Classifier
    from embedhub.engine.model import Model
    from embedhub.models import card_summary, find_model

    kind = find_model(id, settings=settings()).kind
    model: Model | Classifier = (Classifier if kind == "classifier" else Model)(id, dtype=dtype and str(dtype))
    fields = card_summary(model.spec) | {"dtype": model.dtype, "backend": model.backend}
    if json:
        print_json(fields)
    else:
        print_fields(fields)


@app.command("calibrate")
def calibrate(
    id: Annotated[str | None, typer.Argument(help="Model; else EMBEDHUB_MODEL.", show_default=False)] = None,
    texts: Annotated[
        Path | None, typer.Option(help="Look at these texts too: a text a line.", show_default=False)
    ] = None,
) -> None:
    """Prepare a model for int8: measure its value ranges and keep them (seconds)."""
    from embedhub.cli.output import RESULTS
    from embedhub.engine.calibration import calibrate_model

    try:
        sample = texts.read_text(encoding="utf-8").splitlines() if texts is not None else None
    except (OSError, UnicodeDecodeError) as error:
        raise InputNotFoundError(f"{texts} cannot be read as UTF-8 text ({error})") from error
    path = calibrate_model(id, sample, settings())
    RESULTS.print(f"kept in {path}; --dtype int8 uses it", markup=False)


@app.command("export")
def export(
    id: IdArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="New folder.", show_default=False)],
    float32: Annotated[bool, typer.Option(help="Write onnx/model.onnx.")] = True,
    quantized: Annotated[bool, typer.Option(help="Write onnx/model_quantized.onnx, in 8 bits.")] = True,
    json: JsonOption = False,
) -> None:
    """Write a model as a folder that Transformers.js loads in browsers and Node."""
    from embedhub.cli.output import RESULTS, print_json
    from embedhub.engine.export.repository import write_repository
    from embedhub.models import find_model

    forms = [form for form, wanted in ((OnnxForm.FLOAT32, float32), (OnnxForm.QUANTIZED, quantized)) if wanted]
    written = write_repository(find_model(id, settings=settings()), output, settings(), forms)
    if json:
        print_json({"folder": str(output), "files": {str(path.relative_to(output)): _size(path) for path in written}})
    else:
        for path in written:
            RESULTS.print(f"{_size(path):>12,}  {path}", markup=False)


def _size(path: Path) -> int:
    return path.stat().st_size


@app.command("remove")
def remove(id: IdArgument) -> None:
    """Delete a model from this machine."""
    from embedhub.cli.output import RESULTS
    from embedhub.models import remove_model

    count = remove_model(id, settings=settings())
    RESULTS.print(f"removed {id} ({count} {'copy' if count == 1 else 'copies'})", markup=False)
