"""Embeds an input into a dataset folder, shard by shard, so that a killed run loses at most one shard.

Knows in which order texts are embedded and which need not be. Refuses to know models: an `Embedder` is handed
in.

A job is the input's bytes, the parameters and the provenance, in one fingerprint that every shard carries.
What is finished is told by the shards alone; there is no other record that could disagree with them. Slices
of texts depend on nothing but the job and what was there when it began, so a continued job equals an
uninterrupted one.
"""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from embedhub.datasets.card import CardFacts, write_card
from embedhub.datasets.folder import DatasetFolder, readable_shards, shard_name
from embedhub.datasets.provenance import Provenance
from embedhub.datasets.reuse import Key, TextVectors, VectorIndex, open_index, text_key
from embedhub.datasets.shards import (
    Counts,
    Facts,
    Flags,
    Matrix,
    Shard,
    VectorType,
    read_shard,
    write_shard,
)
from embedhub.datasets.source import Source
from embedhub.errors import DatasetError, SettingError, TextTooLongError

# Part of every job's fingerprint: raise it when the same input would be read or laid out differently.
_LAYOUT = 2


@dataclass(frozen=True)
class EmbeddedTexts:
    """What an embedder answers.

    Attributes:
        vectors: float32, shape (texts, dimensions).
        tokens: tokens of all texts together.
        truncated: bool, shape (texts,): which were longer than the model reads, so that only their beginning was read.
    """

    vectors: Matrix
    tokens: int
    truncated: Flags


class Embedder(Protocol):
    """Whatever turns texts into vectors."""

    @property
    def provenance(self) -> Provenance:
        """Which model it is."""

    def embed(self, texts: Sequence[str]) -> EmbeddedTexts:
        """Embed texts, in order; the same texts give the same vectors.

        Raises:
            TextTooLongError: with the text's position, where long texts are forbidden.
        """


@dataclass(frozen=True)
class BuildOptions:
    """How a dataset is built.

    Attributes:
        vectors: number type the vectors are stored in, `float32` or `float16`.
        shard_rows: rows in a shard; a killed run loses at most the shard it was working on.
        slice_texts: texts handed to the embedder at once, after which progress is told.
        license: the card's licence, until someone writes another into the card.
    """

    vectors: VectorType = "float32"
    shard_rows: int = 10_000
    slice_texts: int = 2_000
    license: str = "unknown"


@dataclass(frozen=True)
class Progress:
    """How far a build is.

    Attributes:
        rows_done: rows that have their vector, those of earlier runs included.
        rows_total: rows in all.
        texts_embedded: texts this run has embedded.
        tokens: tokens of those.
        truncated: how many of those were longer than the model reads.
        shard: the shard under way, counted from 0.
        shards: shards in all.
    """

    rows_done: int
    rows_total: int
    texts_embedded: int
    tokens: int
    truncated: int
    shard: int
    shards: int


@dataclass(frozen=True)
class BuildReport:
    """What a build did; rows = embedded + reused + duplicates + nulls.

    Attributes:
        path: the dataset's folder.
        rows: rows of the dataset.
        embedded: texts this run embedded.
        reused: texts whose vector an earlier run or the dataset before this one had.
        duplicates: rows whose text stands further up, embedded once.
        skipped: rows of the input that were left out.
        nulls: rows without a text and a vector.
        tokens: tokens of the texts this run embedded.
        truncated: rows of the dataset whose text was longer than the model reads, whoever embedded it and when.
        seconds: how long it took.
        shards: Parquet files.
        resumed: whether an interrupted run was continued.
        up_to_date: whether there was nothing to do.
    """

    path: Path
    rows: int
    embedded: int
    reused: int
    duplicates: int
    skipped: int
    nulls: int
    tokens: int
    truncated: int
    seconds: float
    shards: int
    resumed: bool
    up_to_date: bool


def build(
    source: Source,
    directory: Path,
    embedder: Embedder,
    options: BuildOptions | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> BuildReport:
    """Embed an input into a folder, or continue to, or find that it is done.

    Args:
        source: the input.
        directory: the dataset's folder; made if it is missing.
        embedder: turns texts into vectors.
        options: how to build.
        on_progress: called after every slice and shard.

    Raises:
        InputError: the input is at fault; see `Source`.
        SettingError: an option is impossible.
        DatasetError: the folder holds something else, or may not be written.
        DatasetBusyError: another process writes the folder.
        StorageFullError: no space left; finished shards are kept.
    """
    started = time.monotonic()
    options = options or BuildOptions()
    _check(options)
    folder = DatasetFolder(directory)
    job = _fingerprint(source, embedder.provenance, options)
    if not folder.private.is_dir():
        # Nobody can be writing yet, and an input at fault should not leave a folder behind.
        _ = source.schema
    with folder.writing():
        finished = _finished(folder, job)
        if finished:
            folder.tidy()
            report = _report(folder, finished, mine=Counts(), resumed=False, up_to_date=True)
        else:
            facts = Facts(embedder.provenance, source.text_column, options.vectors, job, source.skipped)
            folder.begin(job)
            with open_index(folder.build / "index.sqlite") as index:
                work = _Build(source, folder, embedder, options, facts, index, on_progress or _ignore)
                shards, resumed = work.run()
            folder.finish(_card(folder, shards, options))
            report = _report(folder, shards, mine=work.mine, resumed=resumed, up_to_date=False)
    return replace(report, seconds=time.monotonic() - started)


def _check(options: BuildOptions) -> None:
    if options.shard_rows < 1 or options.slice_texts < 1:
        raise SettingError("a shard needs at least one row, and a slice one text")
    if options.vectors not in ("float32", "float16"):
        raise SettingError(f"vectors are stored as float32 or float16, not {options.vectors}")


def _fingerprint(source: Source, provenance: Provenance, options: BuildOptions) -> str:
    request = source.request
    said = {
        "layout": _LAYOUT,
        "input": source.digest,
        "format": source.format,
        "column": request.column,
        "delimiter": request.delimiter,
        "on_error": request.on_error,
        "vectors": options.vectors,
        "shard_rows": options.shard_rows,
        "slice_texts": options.slice_texts,
        "provenance": provenance.identity,
    }
    return hashlib.blake2b(json.dumps(said, sort_keys=True).encode(), digest_size=16).hexdigest()


def _finished(folder: DatasetFolder, job: str) -> list[Shard]:
    try:
        shards = folder.finished_shards()
    except DatasetError:
        return []
    return shards if shards[0].facts.job == job else []


def _ignore(progress: Progress) -> None:
    del progress


class _Build:
    """One run of a job, in an index and a folder made ready for it."""

    def __init__(
        self,
        source: Source,
        folder: DatasetFolder,
        embedder: Embedder,
        options: BuildOptions,
        facts: Facts,
        index: VectorIndex,
        on_progress: Callable[[Progress], None],
    ) -> None:
        self.source = source
        self.folder = folder
        self.embedder = embedder
        self.options = options
        self.facts = facts
        self.index = index
        self.on_progress = on_progress
        self.shards = -(-source.rows // options.shard_rows)
        self.mine = Counts()
        self.rows_done = 0

    def run(self) -> tuple[list[Shard], bool]:
        """Every shard of the job, those found finished included, and whether there were any."""
        found = {shard.path.name: shard for shard in readable_shards(self.folder.parts)}
        for earlier in self.folder.earlier_shards():
            # Of vectors that do not say whether their text was cut it could never be told again.
            if earlier.truncated is not None and self._is_comparable(earlier.facts):
                self.index.add(earlier)
        self.index.end_of_earlier()
        shards: list[Shard] = []
        # Closed here, for a failure below would otherwise leave the input open for as long as its traceback lives.
        with closing(self.source.tables(self.options.shard_rows)) as tables:
            for number, table in enumerate(tables):
                shard = self._shard(table, number, found)
                self.index.add(shard)
                shards.append(shard)
                self.rows_done += shard.rows
                self._tell(number, 0, Counts())
        return shards, bool(found)

    def _is_comparable(self, facts: Facts) -> bool:
        return facts.provenance.identity == self.facts.provenance.identity and facts.vectors == self.facts.vectors

    def _shard(self, table: Any, number: int, found: dict[str, Shard]) -> Shard:
        name = shard_name(number, self.shards)
        if name not in found:
            self._build_shard(self.folder.parts / name, table, number)
        return found.get(name) or read_shard(self.folder.parts / name)

    def _build_shard(self, path: Path, table: Any, number: int) -> None:
        texts = table[self.facts.text_column].to_pylist()
        keys = [None if text is None else text_key(text) for text in texts]
        repeats = Counter(key for key in keys if key is not None)
        distinct = TextVectors.empty(list(repeats), self.facts.provenance.dimensions)

        known = self.index.find(list(distinct.positions))
        self.index.fetch(known, distinct)
        new = {key: text for key, text in zip(keys, texts, strict=True) if key is not None and key not in known}
        reused = sum(not self.index.is_own(place) for place in known.values())
        nulls = keys.count(None)
        told = Counts(reused=reused, nulls=nulls, duplicates=len(keys) - nulls - reused - len(new))
        told += self._embed(new, distinct, repeats, number, keys)
        write_shard(path, table, distinct.of_rows(keys), self.facts, told)
        self.mine += told

    def _embed(
        self,
        new: dict[Key, str],
        distinct: TextVectors,
        repeats: Counter[Key],
        number: int,
        rows_of_shard: Sequence[Key | None],
    ) -> Counts:
        keys = list(new)
        done = Counts()
        rows = repeats.total() - sum(repeats[key] for key in keys)
        for start in range(0, len(keys), self.options.slice_texts):
            sliced = keys[start : start + self.options.slice_texts]
            try:
                embedded = self.embedder.embed([new[key] for key in sliced])
            except TextTooLongError as error:
                if error.position is None:
                    raise
                row = number * self.options.shard_rows + rows_of_shard.index(sliced[error.position])
                raise TextTooLongError(f"{self.source.place(row)}: {error}") from error
            distinct.put(sliced, embedded.vectors, embedded.truncated)
            cut = int(np.count_nonzero(embedded.truncated))
            done += Counts(embedded=len(sliced), tokens=embedded.tokens, truncated=cut)
            rows += sum(repeats[key] for key in sliced)
            self._tell(number, rows, done)
        return done

    def _tell(self, number: int, rows: int, done: Counts) -> None:
        total = self.mine + done
        self.on_progress(
            Progress(
                rows_done=self.rows_done + rows,
                rows_total=self.source.rows,
                texts_embedded=total.embedded,
                tokens=total.tokens,
                truncated=total.truncated,
                shard=number,
                shards=self.shards,
            )
        )


def _report(
    folder: DatasetFolder, shards: Sequence[Shard], *, mine: Counts, resumed: bool, up_to_date: bool
) -> BuildReport:
    total = sum((shard.counts for shard in shards), start=Counts())
    return BuildReport(
        path=folder.path,
        rows=sum(shard.rows for shard in shards),
        embedded=mine.embedded,
        # What an earlier run embedded was there for this one.
        reused=total.reused + total.embedded - mine.embedded,
        duplicates=total.duplicates,
        skipped=shards[0].facts.skipped,
        nulls=total.nulls,
        tokens=mine.tokens,
        truncated=_truncated_rows(shards),
        seconds=0.0,
        shards=len(shards),
        resumed=resumed,
        up_to_date=up_to_date,
    )


def _truncated_rows(shards: Sequence[Shard]) -> int:
    return sum(int(np.count_nonzero(shard.truncated)) for shard in shards if shard.truncated is not None)


def _card(folder: DatasetFolder, shards: Sequence[Shard], options: BuildOptions) -> str:
    before = folder.card.read_text("utf-8", "surrogateescape") if folder.card.is_file() else None
    total = sum((shard.counts for shard in shards), start=Counts())
    facts = CardFacts(
        name=folder.path.resolve().name,
        rows=sum(shard.rows for shard in shards),
        nulls=total.nulls,
        skipped=shards[0].facts.skipped,
        truncated=_truncated_rows(shards),
        text_column=shards[0].facts.text_column,
        vectors=shards[0].facts.vectors,
        job=shards[0].facts.job,
        license=options.license,
        provenance=shards[0].facts.provenance,
    )
    return write_card(facts, before)
