"""Which scripts a page names."""

import re

from embedhub.server.web.assets import STATIC, VENDOR, asset_address, imported
from embedhub.server.web.layout import templates


def test_all_that_a_script_imports_is_found() -> None:
    scripts = [path for path in STATIC.rglob("*.js") if VENDOR not in path.parents]
    assert len(scripts) > 20
    for path in scripts:
        found = imported(path.relative_to(STATIC).as_posix())
        # Simpler than how it is found: whatever is quoted and looks like a file beside it, but for workers.
        for beside in re.findall(r'from "(\.[^"]*)"', path.read_text()):
            wanted = (path.parent / beside).resolve().relative_to(STATIC.resolve()).as_posix()
            assert wanted in found
            assert set(imported(wanted)) <= set(found)
        assert len(set(found)) == len(found)


def test_a_script_is_named_with_what_it_imports() -> None:
    made = templates().from_string("{{ script('dataset/rows.js') }}").render()
    first, last = asset_address("api.js"), asset_address("dataset/rows.js")
    assert made == f'<link rel="modulepreload" href="{first}"><script type="module" src="{last}"></script>'
