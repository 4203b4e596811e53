"""The README of a model's repository: a head for machines, and for people the lines of code that load it.

Knows what Transformers.js must be told because it reads it nowhere: pooling and normalisation. Refuses to touch files.
"""

import json
from collections.abc import Mapping
from string import Template

import yaml

from embedhub.models import ModelSpec
from embedhub.models.wanted import is_model_id

# What Transformers.js calls the ways of pooling that it has and computes alike.
_POOLING: Mapping[tuple[str, ...], str] = {("mean",): "mean", ("cls",): "cls"}

_EMBEDDING = Template(
    """```js
import { pipeline } from "@huggingface/transformers";

const extractor = await pipeline("feature-extraction", $name);
const vectors = await extractor(["How can Medicare help me?"], { pooling: $pooling, normalize: $normalize });
```
"""
)

_CLASSIFIER = Template(
    """```js
import { AutoModelForSequenceClassification, AutoTokenizer } from "@huggingface/transformers";

const tokenizer = await AutoTokenizer.from_pretrained($name);
const model = await AutoModelForSequenceClassification.from_pretrained($name);
const inputs = tokenizer(["How can Medicare help me?"], {
  text_pair: ["Medicare covers ..."], padding: true, truncation: true, return_token_type_ids: true,
});
const { logits } = await model(inputs);
```

Logits become scores by: $activation.
"""
)

_UNLIKE = Template(
    """Transformers.js gives the vectors of this model's tokens ($pooling is computed behind them, which it cannot).
Ask an embedhub server for vectors of texts.
"""
)


def write_card(spec: ModelSpec) -> str:
    """README.md of a model's repository."""
    name = spec.id if is_model_id(spec.id) else spec.folder.name
    head = yaml.safe_dump(_head(spec), sort_keys=False, allow_unicode=True)
    title = " ".join(name.split()).replace("`", "'")
    return f"---\n{head}---\n\n# {title}\n\n{_facts(spec)}\n## In JavaScript\n\n{_snippet(spec, json.dumps(name))}"


def _head(spec: ModelSpec) -> dict[str, object]:
    licences = [name.strip() for name in (spec.licence or "").split(",") if name.strip()]
    head: dict[str, object] = {}
    if licences:
        head["license"] = licences[0] if len(licences) == 1 else licences
    tags = [spec.architecture, "onnx", "transformers.js", "embedhub"]
    if spec.kind == "classifier":
        task = "text-ranking" if len(spec.labels) == 1 else "text-classification"
    else:
        task, tags = "sentence-similarity", [*tags, "feature-extraction"]
    head |= {"library_name": "sentence-transformers", "pipeline_tag": task, "tags": tags}
    return head


def _facts(spec: ModelSpec) -> str:
    if spec.kind == "classifier":
        gives = f"{len(spec.labels)} label{'s' * (len(spec.labels) > 1)}"
    else:
        gives = f"{spec.dimensions} dimensions, pooling {'+'.join(spec.pooling)}"
        gives += ", length one" if spec.normalize else ""
    return f"{' '.join(spec.architecture.split())}; {gives}; reads {spec.max_tokens} tokens.\n"


def javascript_pooling(spec: ModelSpec) -> str | None:
    """What Transformers.js has to be told so that it gives an embedding model's vectors; None if it cannot."""
    return None if spec.dense else _POOLING.get(spec.pooling)


def _snippet(spec: ModelSpec, name: str) -> str:
    if spec.kind == "classifier":
        return _CLASSIFIER.substitute(name=name, activation=spec.activation)
    pooling = javascript_pooling(spec)
    if pooling is None:
        behind = "a dense layer" if spec.dense else f"pooling {'+'.join(spec.pooling)}"
        return _UNLIKE.substitute(pooling=behind)
    return _EMBEDDING.substitute(name=name, pooling=json.dumps(pooling), normalize=json.dumps(spec.normalize))
