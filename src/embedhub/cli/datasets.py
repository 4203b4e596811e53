"""`embedhub embed`, `search` and `export`."""

import os
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from embedhub.choices import ExportFormat, InputFormat, LongTexts, NumberType, OnErrorChoice, Score, StoredType
from embedhub.config import settings
from embedhub.errors import SettingError

if TYPE_CHECKING:
    from embedhub.datasets import BuildReport


ModelOption = Annotated[
    str | None, typer.Option("--model", "-m", help="Model id or folder; else EMBEDHUB_MODEL.", show_default=False)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]


def embed(
    input: Annotated[
        str,
        typer.Argument(
            help="csv, tsv, jsonl, json, parquet, arrow or txt, also gzipped; - is stdin; namespace/name is a dataset "
            "of the Hub (HF_ENDPOINT)."
        ),
    ],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder of the dataset.", show_default=False)] = None,
    column: Annotated[str | None, typer.Option(help="Column with the texts.", show_default=False)] = None,
    delimiter: Annotated[
        str | None, typer.Option(help="What separates the cells of a csv; a comma if not said.", show_default=False)
    ] = None,
    model: ModelOption = None,
    dtype: Annotated[NumberType | None, typer.Option(help="Number type.", show_default=False)] = None,
    format: Annotated[InputFormat | None, typer.Option(help="Format of the input.", show_default=False)] = None,
    on_error: Annotated[OnErrorChoice, typer.Option(help="A row without a text.")] = OnErrorChoice.FAIL,
    vectors: Annotated[StoredType, typer.Option(help="Number type of the stored vectors.")] = StoredType.FLOAT32,
    shard_rows: Annotated[
        int, typer.Option(min=1, help="Rows in a file; a killed run loses one file at most.")
    ] = 10_000,
    long_texts: Annotated[LongTexts, typer.Option(help="A text longer than the model reads.")] = LongTexts.TRUNCATE,
    prompt: Annotated[str | None, typer.Option(help="Put before every text.", show_default=False)] = None,
    truncate_dim: Annotated[int | None, typer.Option(help="Keep that many dimensions.", show_default=False)] = None,
    json: JsonOption = False,
) -> None:
    """Embed a file of texts into a dataset folder; run again, it continues or embeds what changed."""
    from embedhub.cli.output import EmbeddingBar, print_json
    from embedhub.datasets import BuildOptions, InputRequest, OnError, VectorType
    from embedhub.engine.model import Model
    from embedhub.runtime.embedding import EmbedRequest, embed_file
    from embedhub.runtime.remote import hosted_input, is_repository_id

    if out is None:
        if input == "-":
            raise SettingError("standard input has no name: say where the dataset goes with --out DIR")
        out = Path(f"{_stem(Path(input).name)}-embedded")
    hosted = hosted_input(input, settings()) if is_repository_id(input) else nullcontext(input)
    with hosted as path, EmbeddingBar().shown() as bar:
        request = EmbedRequest(
            input=InputRequest(path, format and str(format), column, cast("OnError", str(on_error)), delimiter),
            directory=out,
            build=BuildOptions(vectors=cast("VectorType", str(vectors)), shard_rows=shard_rows),
            prompt=None if prompt is None else _as_text(prompt, "the prompt", blank=True),
            long_texts=str(long_texts),
            truncate_dim=truncate_dim,
        )

        def load() -> Model:
            loaded = Model(model, dtype=dtype and str(dtype))
            bar.restart()
            return loaded

        report = embed_file(request, load, bar)
    if json:
        print_json({name: str(value) if name == "path" else value for name, value in asdict(report).items()})
    else:
        _tell(report)


def search(
    directory: Annotated[
        Path,
        typer.Argument(help="Folder of an embedded dataset, or namespace/name on the Hub.", show_default=False),
    ],
    queries: Annotated[list[str], typer.Argument(help="One question or several.", show_default=False)],
    top_k: Annotated[int, typer.Option("--top-k", "-k", min=1, help="Hits a question.")] = 5,
    score: Annotated[Score, typer.Option(help="How nearness is measured.")] = Score.COSINE,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="Ask with this model; it must be the dataset's.", show_default=False),
    ] = None,
    prompt: Annotated[
        str | None, typer.Option(help="Put before every question; else the model's.", show_default=False)
    ] = None,
    prompt_name: Annotated[
        str | None, typer.Option(help="Put the model's prompt of that name before.", show_default=False)
    ] = None,
    json: JsonOption = False,
) -> None:
    """Search an embedded dataset by meaning."""
    from embedhub.cli.output import RESULTS, IndexBar, print_json
    from embedhub.engine.model import Model
    from embedhub.runtime.collection import EmbeddedDataset, hit_name
    from embedhub.runtime.remote import hosted_dataset, is_repository_id

    questions = [_as_text(query, "a question") for query in queries]
    if is_repository_id(str(directory)):
        directory = hosted_dataset(str(directory), settings())
    dataset = EmbeddedDataset.load(directory)
    if model:
        dataset = EmbeddedDataset.load(directory, model=Model(model))
    before = None if prompt is None else _as_text(prompt, "the prompt", blank=True)
    vectors = dataset.embed_queries(questions, prompt=before, prompt_name=prompt_name)
    with IndexBar().shown() as bar:
        dataset.index(str(score), on_progress=bar)
    found = dataset.search_vectors(vectors, top_k, score=str(score))
    if json:
        print_json(found[0] if len(queries) == 1 else found)
        return
    column = hit_name(dataset.stored.text_column, dataset.stored.columns)
    for number, (query, hits) in enumerate(zip(queries, found, strict=True)):
        if len(queries) > 1:
            RESULTS.print(f"{chr(10) if number else ''}{query}", style="bold", markup=False)
        for hit in hits:
            text = " ".join(str(hit[column]).split())
            RESULTS.print(f"{hit['score']:.4f}  {hit['row']:>6}  {text}", markup=False)


def export(
    directory: Annotated[Path, typer.Argument(help="Folder of an embedded dataset.", show_default=False)],
    to: Annotated[ExportFormat, typer.Option(help="Format.")] = ExportFormat.CSV,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File; else beside the folder.", show_default=False)
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Write over a file that is there.")] = False,
) -> None:
    """Write a dataset's vectors to one file."""
    from embedhub.datasets import export as write

    typer.echo(write(directory, str(to), out, replace=replace))


def _as_text(word: str, what: str, *, blank: bool = False) -> str:
    """A word of the command line as the UTF-8 it was typed in, whatever the locale made of it."""
    try:
        text = os.fsencode(word).decode("utf-8")
    except UnicodeDecodeError as error:
        raise SettingError(f"{what} is not UTF-8 text: {word!r}") from error
    if not blank and not text.strip():
        raise SettingError(f"{what} is blank")
    return text


def _stem(name: str) -> str:
    """A file's name without its format and compression: `faq.2024.csv.gz` is `faq.2024`."""
    path = Path(name.removesuffix(".gz"))
    return path.stem if path.suffix.lower().lstrip(".") in {*InputFormat, "ndjson", "text", "feather"} else path.name


def _tell(report: "BuildReport") -> None:
    from embedhub.cli.output import RESULTS

    if report.up_to_date:
        cut = f", {report.truncated:,} truncated" if report.truncated else ""
        RESULTS.print(f"{report.path}: up to date, {report.rows:,} rows{cut}", markup=False)
        return
    parts = [f"{report.embedded:,} texts embedded ({report.tokens:,} tokens) in {report.seconds:.2f} s"]
    counted = {
        "unchanged": report.reused,
        "duplicates": report.duplicates,
        "without a text": report.nulls,
        "skipped": report.skipped,
        "truncated": report.truncated,
    }
    parts += [f"{count:,} {name}" for name, count in counted.items() if count]
    if report.resumed:
        parts.append("continued an interrupted run")
    RESULTS.print(f"{report.path}: {report.rows:,} rows; {', '.join(parts)}", markup=False)
