"""The API's document as a page for people.

Pure. Everything is in the page itself: it works without a network, without scripts, in the dark and in print.
"""

import json
from html import escape
from typing import Any

from embedhub.server.examples import Schema, example_of

# Of the server in what is shown; whoever sends the page puts the one there under which he was asked.
ADDRESS = "http://localhost:8080"

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --link: light-dark(#0a58ca, #79b8ff); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; }
a { color: var(--link); }
header { display: flex; gap: 1.2rem; padding-bottom: .6rem; border-bottom: 1px solid var(--line); }
header a { color: inherit; text-decoration: none; }
h1 { margin-bottom: 0; }
h2 { border-bottom: 1px solid var(--line); margin-top: 3rem; }
code, pre { font: 14px/1.45 ui-monospace, monospace; }
pre { background: var(--soft); padding: .75rem; border-radius: .4rem; overflow-x: auto; }
section { border: 1px solid var(--line); border-radius: .4rem; padding: 0 1rem; margin: 1rem 0; }
section > summary, h3 { font: 16px/1.5 ui-monospace, monospace; overflow-wrap: anywhere; }
.method { font-weight: bold; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .25rem .75rem .25rem 0; border-top: 1px solid var(--line); }
nav ul { columns: 2 20rem; padding-left: 1rem; }
"""

# The same ways as on every page of the site.
_HEADER = (
    '<header><a href="/"><b>embedhub</b></a> <a href="/playground">Playground</a> <a href="/datasets">Datasets</a> '
    '<a href="/models">Models</a></header>'
)


def docs_page(document: dict[str, Any]) -> bytes:
    """The document of the API as a page: routes by dialect, fields, an example to copy, answers.

    Args:
        document: made by `openapi.document`.
    """
    components = document["components"]["schemas"]
    by_tag: dict[str, list[tuple[str, str, dict[str, Any]]]] = {tag["name"]: [] for tag in document["tags"]}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            by_tag[operation["tags"][0]].append((method.upper(), path, operation))
    parts = [
        f"<h1>embedhub</h1><p>Version {escape(document['info']['version'])}. {escape(document['info']['description'])} "
        'The same for machines: <a href="/openapi.json">/openapi.json</a>.</p><nav>'
    ]
    for tag, found in by_tag.items():
        items = "".join(
            f'<li><a href="#{escape(operation["operationId"])}"><code>{method} {escape(path)}</code></a></li>'
            for method, path, operation in found
        )
        parts.append(f"<h4>{escape(tag)}</h4><ul>{items}</ul>")
    parts.append("</nav><main>")
    for tag, found in by_tag.items():
        parts.append(f"<h2>{escape(tag)}</h2>")
        parts += [_operation(method, path, operation, components) for method, path, operation in found]
    parts.append("</main>")
    return _page("embedhub: API", "".join(parts))


def _page(title: str, body: str) -> bytes:
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style><body>{_HEADER}{body}</body></html>"
    ).encode()


def _operation(method: str, path: str, operation: dict[str, Any], components: dict[str, Schema]) -> str:
    anchor = escape(operation["operationId"])
    parts = [
        f'<section id="{anchor}"><h3><span class="method">{method}</span> {escape(path)}</h3>',
        f"<p><b>{escape(operation['summary'])}.</b> {escape(operation['description'])}</p>",
    ]
    if "security" in operation:
        parts.append("<p>Needs a token: <code>Authorization: Bearer hf_…</code></p>")
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    body = None
    if content is not None:
        body = content.get("example", example_of(content["schema"], components))
        parts += [_fields(schema, components) for schema in _alternatives(content["schema"], components)]
    parts.append(f"<pre>{escape(_curl(method, path, body, with_token='security' in operation))}</pre>")
    for status, response in operation["responses"].items():
        if status == "200":
            parts.append(_answer(response, components))
    rest = [(status, each) for status, each in operation["responses"].items() if status != "200"]
    rows = "".join(
        f"<tr><td>{status}</td><td>{escape(each['description'])}</td><td><code>{escape(_shown(each, components))}"
        "</code></td></tr>"
        for status, each in rest
    )
    parts.append(f"<details><summary>Errors</summary><table>{rows}</table></details></section>")
    return "".join(parts)


def _answer(response: dict[str, Any], components: dict[str, Schema]) -> str:
    (kind, content), *_ = response["content"].items()
    shown = f"<pre>{escape(_shown(response, components, indent=2))}</pre>" if content else ""
    return f"<p>Answer: <code>{escape(kind)}</code></p>{shown}"


def _shown(response: dict[str, Any], components: dict[str, Schema], indent: int | None = None) -> str:
    content = next(iter(response["content"].values()))
    if not content.get("schema"):
        return ""
    return json.dumps(example_of(content["schema"], components), ensure_ascii=False, indent=indent)


def _curl(method: str, path: str, body: Any, *, with_token: bool) -> str:
    shown = f"curl {ADDRESS}{path}"
    if with_token:
        shown += ' \\\n  -H "authorization: Bearer $HF_TOKEN"'
    if method != "POST":
        return shown
    # A quote inside would end the shell's word.
    data = json.dumps(body, ensure_ascii=False).replace("'", "'\\''")
    return f"{shown} \\\n  -H 'content-type: application/json' \\\n  -d '{data}'"


def _alternatives(schema: Schema, components: dict[str, Schema]) -> list[Schema]:
    """The objects that a body may be."""
    if "$ref" in schema:
        return _alternatives(components[schema["$ref"].rpartition("/")[2]], components)
    found = [each for part in schema.get("anyOf", ()) for each in _alternatives(part, components)]
    return [schema, *found] if "properties" in schema else found


def _fields(schema: Schema, components: dict[str, Schema]) -> str:
    required = schema.get("required", [])
    rows = []
    for name, field in schema["properties"].items():
        if name in required:
            default = "must be given"
        else:
            default = json.dumps(field["default"], ensure_ascii=False) if "default" in field else ""
        told = escape(field.get("description", ""))
        rows.append(
            f"<tr><td><code>{escape(name)}</code></td><td><code>{escape(_type_name(field))}</code></td>"
            f"<td><code>{escape(default)}</code></td><td>{told}</td></tr>"
        )
    title = escape(schema.get("description", ""))
    head = "<tr><th>field</th><th>type</th><th>default</th><th></th></tr>"
    return f"<p>{title}</p><table>{head}{''.join(rows)}</table>"


def _type_name(schema: Schema) -> str:
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "enum" in schema:
        return " | ".join(json.dumps(each) for each in schema["enum"])
    if "anyOf" in schema:
        return " | ".join(_type_name(each) for each in schema["anyOf"])
    if schema.get("type") == "array":
        return f"[{_type_name(schema['items'])}]" if isinstance(schema.get("items"), dict) else "array"
    return str(schema.get("type", "any"))
