"""What the process of a job does: look into a file, or embed it.

`python -m embedhub.runtime.jobs.work`, with an order on standard input. Knows a job's folder and reads nothing else of
what is known of it. A process of its own, because reading a stranger's file and loading a model are nobody else's
business: it yields to the server, and its end takes nobody along. It ends when its server does.
"""

import logging
import os
import pickle
import re
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

import msgspec

from embedhub.config import Settings
from embedhub.datasets import BuildOptions, InputRequest, OnError, Progress, open_source
from embedhub.datasets.columns import suggest_text_column
from embedhub.errors import EmbedhubError
from embedhub.runtime.jobs.records import Job, JobProgress, Order, Outcome, Preview, PreviewColumn
from embedhub.storage import whole_file

if TYPE_CHECKING:
    from embedhub.models import ModelSpec

# Less urgent than requests, which wait for the same cores.
_NICE = 10

# Progress is told after so many texts: about once a second.
_SLICE_TEXTS = 500

_SHOWN_ROWS = 10
_SHOWN_COLUMNS = 100
_SHOWN_CHARACTERS = 300

# As an answer of the API, or a field of a form, calls what the command line calls a flag.
_FLAG = re.compile(r"--([a-z]+(?:-[a-z]+)*)")


def run(order: Order) -> Outcome:
    """Do it, and say how it ended."""
    try:
        return _DEEDS[order.kind](order)
    except EmbedhubError as error:
        return Outcome(code=error.code, error=_told(error, order))


def look(order: Order) -> Outcome:
    """Read the whole file, and write down what is in it."""
    with open_source(InputRequest(order.input, order.job.format)) as source:
        scan = source.scan
        first = source.first_rows(_SHOWN_ROWS)
        suggested = suggest_text_column(scan, first, source.name)
        columns = scan.columns[:_SHOWN_COLUMNS]
        preview = Preview(
            rows=scan.rows,
            format=source.format,
            columns=[PreviewColumn(each.name, str(each.type), each.texts, each.non_texts) for each in columns],
            suggested=suggested,
            first=[{each.name: _shown(row.get(each.name)) for each in columns} for row in first],
        )
    with whole_file(order.folder / "preview.json") as file:
        file.write(msgspec.json.encode(preview))
    return Outcome(rows=preview.rows)


def embed(order: Order) -> Outcome:
    """Embed the file, or go on where an earlier process was ended."""
    # Half a second that whoever looks into a file need not wait for.
    from embedhub.engine.model import Model
    from embedhub.runtime.embedding import EmbedRequest, embed_file

    told = _Teller(order.folder / "progress.json")
    job = order.job

    def load() -> Model:
        told.stage("loading")
        loaded = Model(_find(job, order.config), config=order.config)
        told.begin()
        return loaded

    told.stage("reading")
    request = EmbedRequest(
        input=InputRequest(order.input, job.format, job.column, cast("OnError", job.on_error)),
        directory=order.output,
        build=BuildOptions(shard_rows=order.shard_rows, slice_texts=min(_SLICE_TEXTS, order.shard_rows)),
    )
    order.output.parent.mkdir(mode=0o700, exist_ok=True)
    return Outcome(rows=embed_file(request, load, told).rows)


_DEEDS: dict[str, Callable[[Order], Outcome]] = {"look": look, "embed": embed}


class _Teller:
    """Writes down how far the work is, in a file that is replaced as a whole; losing one is no loss."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._began = monotonic()
        self._earlier = 0

    def stage(self, name: str) -> None:
        self._write(JobProgress(stage=name))

    def begin(self) -> None:
        """The embedding itself begins."""
        self._began = monotonic()
        self._write(JobProgress(stage="embedding"))

    def __call__(self, progress: Progress) -> None:
        done, total = progress.rows_done, progress.rows_total
        if not progress.texts_embedded:
            # Of an earlier run, and so without a say in how fast this one is.
            self._earlier = done
        rate = (done - self._earlier) / max(monotonic() - self._began, 1e-3)
        left = round((total - done) / rate, 1) if rate else None
        self._write(JobProgress("embedding", done, total, progress.tokens, round(rate, 1), left))

    def _write(self, progress: JobProgress) -> None:
        unfinished = self._path.with_suffix(".unfinished")
        unfinished.write_bytes(msgspec.json.encode(progress))
        unfinished.replace(self._path)


def _find(job: Job, config: Settings) -> "ModelSpec":
    """The model that whoever started the job was let in to."""
    from embedhub.models import find_model
    from embedhub.models.hosted import find_hosted

    here = replace(config, offline=True)
    if job.model_source == "hosted":
        return find_hosted(job.model, job.model_revision, here)
    revision = None if job.model_source == "local" else job.model_revision
    return find_model(job.model, revision=revision, settings=here, hosted=False)


def _shown(value: Any) -> str | int | float | bool | None:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        # What JSON does not know, or JavaScript not exactly.
        return value if abs(value) < 1 << 53 else str(value)
    return str(value)[:_SHOWN_CHARACTERS]


def _told(error: EmbedhubError, order: Order) -> str:
    line = " ".join(str(error).split())
    for folder in (f"{order.input.parent}/", f"{order.output.parent}/", f"{order.folder}/"):
        line = line.replace(folder, "")
    return _FLAG.sub(lambda flag: flag[1].replace("-", "_"), line)


def _end_with_server() -> None:
    # Not by way of sys.stdin, whose lock a thread that ends with its process would keep.
    while os.read(0, 1):
        pass
    os._exit(1)


def _main() -> None:
    # From the pipe that our server holds the other end of: nobody else can write to it.
    order: Order = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_server, daemon=True).start()
    os.nice(_NICE)
    logging.basicConfig(level=logging.INFO)
    outcome = run(order)
    with whole_file(order.folder / ("looked.json" if order.kind == "look" else "outcome.json")) as file:
        file.write(msgspec.json.encode(outcome))


if __name__ == "__main__":
    _main()
