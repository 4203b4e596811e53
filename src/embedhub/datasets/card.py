"""The dataset card: README.md with a head for machines and a body for people.

Knows the words and which of them are ours: what someone wrote into an existing card stays. Refuses to touch
files.
"""

import re
from dataclasses import dataclass
from string import Template
from typing import Any

import yaml

from embedhub.datasets.provenance import Provenance

_TAGS = ["embedhub", "embeddings", "sentence-similarity"]
_HEAD = re.compile(r"\A---\r?\n(.*?)^---\r?\n", re.DOTALL | re.MULTILINE)
_BEGIN, _END = "<!-- embedhub: begin -->", "<!-- embedhub: end -->"
_OURS = re.compile(f"{re.escape(_BEGIN)}.*?{re.escape(_END)}", re.DOTALL)
_SIZES = [
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"),
]

_BODY = Template(
    """$begin
$rows rows; column `$column` is embedded in `embedding`: $dimensions numbers ($vectors) a row.
$notes
## Load

```python
from datasets import load_dataset

dataset = load_dataset("path/of/this/folder", split="train")  # or the name of its repository
```

## Search

```sh
embedhub search path/of/this/folder "How can I ...?"
```

Or with other tools, as long as the same model embeds the question:

```python
import numpy as np
from sentence_transformers import SentenceTransformer

model = SentenceTransformer($model)
question = model.encode($prompt + "How can I ...?", normalize_embeddings=$normalized)
embedded = dataset.filter(lambda row: row["embedding"] is not None).with_format("numpy")
scores = np.stack(embedded["embedding"][:]) @ question
for index in np.argsort(-scores)[:5]:
    print(round(float(scores[index]), 3), embedded[int(index)][$column_literal])
```

## How it was made

| | |
|---|---|
$table
$end"""
)


@dataclass(frozen=True)
class CardFacts:
    """What the card tells.

    Attributes:
        name: the dataset's name.
        rows: its rows.
        nulls: rows without a text and a vector.
        skipped: rows of the input that were left out.
        truncated: rows whose text was longer than the model reads.
        text_column: the embedded column.
        vectors: number type of the stored vectors.
        job: fingerprint of what the dataset was made of.
        license: the licence, if the card does not name one yet.
        provenance: which model made the vectors.
    """

    name: str
    rows: int
    nulls: int
    skipped: int
    truncated: int
    text_column: str
    vectors: str
    job: str
    license: str
    provenance: Provenance


def write_card(facts: CardFacts, before: str | None = None) -> str:
    """The text of README.md.

    Args:
        facts: what it tells.
        before: the card as it is, if there is one. Its licence, name, further keys and all text outside of
            the marked part are kept; the marked part is renewed, and not put back where someone has removed
            it.
    """
    found = _HEAD.match(before or "")
    head = _head(facts, _mapping(found[1]) if found else {})
    ours = _body(facts)
    if before is None:
        rest = f"\n# {facts.name}\n\n{ours}\n"
    else:
        rest = _OURS.sub(lambda _: ours, before[found.end() :] if found else before)
    return f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True)}---\n{rest}"


def _mapping(head: str) -> dict[str, Any]:
    try:
        parsed = yaml.safe_load(head)
    except yaml.YAMLError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _head(facts: CardFacts, before: dict[str, Any]) -> dict[str, Any]:
    tags = before.get("tags")
    kept = tags if isinstance(tags, list) else []
    first = {"pretty_name": facts.name, "license": facts.license} | before
    # Written by `datasets` for the rows as they were; it refuses to load when they have changed.
    first.pop("dataset_info", None)
    return first | {
        "tags": [*kept, *(tag for tag in _TAGS if tag not in kept)],
        "size_categories": [next((words for limit, words in _SIZES if facts.rows < limit), "100M<n<1B")],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": "train", "path": "data/train-*.parquet"}],
                # `datasets` keeps what it loaded from a folder under the folder's name and this list: without a part
                # that changes with the data it would give back the rows of yesterday, or of a namesake.
                "description": f"{facts.rows:,} rows embedded with {facts.provenance.model}, build {facts.job}",
            },
        ],
        "embedhub": {
            "model": facts.provenance.model,
            "dimensions": facts.provenance.dimensions,
            "text_column": facts.text_column,
            "rows": facts.rows,
        },
    }


def _body(facts: CardFacts) -> str:
    provenance = facts.provenance
    notes = [
        f"- {count:,} {words}\n"
        for count, words in (
            (facts.nulls, "rows hold no text and have no vector."),
            (facts.skipped, "rows of the input held no text and were left out."),
            (
                facts.truncated,
                "rows hold a text longer than the model reads: their vectors tell of its beginning only. "
                "`read_dataset(...).truncated_rows()` of embedhub lists them.",
            ),
        )
        if count
    ]
    return _BODY.substitute(
        begin=_BEGIN,
        end=_END,
        rows=f"{facts.rows:,}",
        column=facts.text_column,
        column_literal=repr(facts.text_column),
        dimensions=provenance.dimensions,
        vectors=facts.vectors,
        notes="".join(["\n", *notes]) if notes else "",
        model=repr(provenance.model),
        prompt=repr(provenance.prompt),
        normalized=provenance.normalized,
        table="\n".join(f"| {label} | {told} |" for label, told in _table(provenance).items() if told),
    )


def _table(provenance: Provenance) -> dict[str, str]:
    """What is told of the making, by its label; nothing where there is nothing to tell."""
    return {
        "model": _code(provenance.model),
        "revision": _code(provenance.revision),
        "sha256 of the weights": _code(provenance.weights_sha256),
        "fingerprint of the model": _code(provenance.model_fingerprint),
        "pooling": _code(provenance.pooling),
        "before every text": _code(provenance.prompt) or "nothing",
        "long texts": _code(provenance.long_texts),
        "dimensions": str(provenance.dimensions),
        "length of the vectors": "1" if provenance.normalized else "as the model gives it",
        "computed in": _code(provenance.dtype),
        "int8 calibration": _code(provenance.calibration),
        "embedhub": provenance.embedhub_version,
    }


def _code(value: str | None) -> str:
    text = (value or "").replace("|", "\\|").replace("\n", "\\n")
    return f"`{text}`" if text else ""
