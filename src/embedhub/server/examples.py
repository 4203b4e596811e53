"""A value that a JSON schema allows, as short as it can be and still say something. Pure."""

from typing import Any

Schema = dict[str, Any]

# Deeper than that nothing is shown: schemas may contain themselves.
_DEPTH = 6


def example_of(schema: Schema, components: dict[str, Schema], depth: int = 0) -> Any:
    """An example.

    Args:
        schema: of the value.
        components: what `#/components/schemas/NAME` stands for.
        depth: how far below the whole value it stands.
    """
    if "$ref" in schema:
        return example_of(components[schema["$ref"].rpartition("/")[2]], components, depth + 1)
    for name in ("example", "const"):
        if name in schema:
            return schema[name]
    for name in ("examples", "enum", "anyOf", "oneOf"):
        if schema.get(name):
            first = schema[name][0]
            return example_of(first, components, depth + 1) if name in ("anyOf", "oneOf") else first
    if depth < _DEPTH:
        match schema.get("type"):
            case "object":
                return _object(schema, components, depth)
            case "array":
                return _array(schema, components, depth)
    return _PLAIN.get(schema.get("type", ""), lambda schema: "a text")(schema)


def _object(schema: Schema, components: dict[str, Schema], depth: int) -> dict[str, Any]:
    properties = schema.get("properties", {})
    # What must be given, or, where nothing must, all: an answer's fields always come.
    names = schema.get("required") or list(properties)
    return {name: example_of(properties[name], components, depth + 1) for name in names if name in properties}


def _array(schema: Schema, components: dict[str, Schema], depth: int) -> list[Any]:
    places = [example_of(each, components, depth + 1) for each in schema.get("prefixItems", ())]
    items = schema.get("items")
    if isinstance(items, dict):
        places += [example_of(items, components, depth + 1)] * max(0, schema.get("minItems", 1) - len(places))
    return places


_PLAIN: dict[str, Any] = {
    "integer": lambda schema: schema.get("minimum", 0),
    "number": lambda schema: schema.get("minimum", 0.5),
    "boolean": lambda schema: True,
    "null": lambda schema: None,
    "object": lambda schema: {},
    "array": lambda schema: [],
}
