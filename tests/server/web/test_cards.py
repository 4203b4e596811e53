"""Cards: what of Markdown and HTML by others reaches a page."""

import time

import pytest

from embedhub.server.web.cards import card_html

FILES = "/datasets/alice/faq/resolve/main/"


@pytest.mark.parametrize(
    "markdown",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "<svg onload=alert(1)><circle/></svg>",
        "<a href='jAvAsCrIpT:alert(1)'>x</a>",
        "<a href=' javascript:alert(1)'>x</a>",
        "[x](javascript:alert(1))",
        "[x](data:text/html,alert)",
        "<iframe src=/></iframe>",
        "<form action=/logout method=post><button>x</button></form>",
        '<div style="position:fixed">x</div>',
        '<p class="top" id="content" onclick="x()">x</p>',
        "<style>* { color: red }</style>",
        "<meta http-equiv=refresh content='0;url=//evil'>",
        "<base href=//evil/>",
        "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=alert(1)&gt;'>",
        "<input autofocus onfocus=alert(1)>",
    ],
)
def test_nothing_of_a_card_runs_or_disguises_itself(markdown: str) -> None:
    html = card_html(f"before\n\n{markdown}\n\nafter", FILES).lower()
    # What is shown as text is no tag.
    for tag in ("<script", "<svg", "<iframe", "<form", "<button", "<style", "<meta", "<base", "<input", "<math"):
        assert tag not in html
    inside = [part.partition(">")[0] for part in html.split("<")[1:]]
    for attribute in (" on", "style=", "class=", "id=", "javascript:", "data:"):
        assert not any(attribute in tag for tag in inside), html


@pytest.mark.parametrize(
    ("markdown", "shown"),
    [
        ("![p](pictures/a.png)", f'src="{FILES}pictures/a.png"'),
        ("![p](/static/x/icon.svg)", 'src="/static/x/icon.svg"'),
        ("[l](docs/a.md)", f'href="{FILES}docs/a.md"'),
        ("[l](#part)", 'href="#part"'),
        ("[l](https://example.org/)", 'href="https://example.org/"'),
    ],
)
def test_relative_addresses_lead_to_the_repository(markdown: str, shown: str) -> None:
    assert shown in card_html(markdown, FILES)


@pytest.mark.parametrize(
    "address", ["https://evil/x.png", "//evil/x.png", "data:image/png;base64,AAAA", "HTTP://evil/x", "https:evil"]
)
def test_no_picture_comes_from_elsewhere(address: str) -> None:
    assert "src=" not in card_html(f"![p]({address})", FILES)
    assert "src=" not in card_html(f'<img src="{address}">', FILES)


def test_a_backslash_is_no_way_out() -> None:
    html = card_html('<img src="/\\evil/x"><a href="\\\\evil">x</a>', FILES)
    assert "evil" not in html


def test_links_do_not_speak_for_this_server() -> None:
    assert 'rel="nofollow noopener noreferrer"' in card_html("[l](https://example.org/)")


def test_headings_come_below_those_of_the_page() -> None:
    html = card_html("# one\n\n#### four\n\n###### six\n\n<h1>loud</h1>\n")
    assert "<h3>one</h3>" in html
    assert "<h6>four</h6>" in html
    assert "<h6>six</h6>" in html
    assert "<h1" not in html
    assert "loud" in html


def test_tables_and_code_are_shown() -> None:
    html = card_html("| a |\n|---|\n| 1 |\n\n```py\nx < 1\n```\n")
    assert "<td>1</td>" in html
    # It may be wider than the page, and is to be reached by keys.
    assert '<pre tabindex="0"><code>x &lt; 1' in html


@pytest.mark.parametrize("piece", ["[", "![](", "<div>", "\n|"])
def test_what_is_made_to_take_long_does_not(piece: str) -> None:
    began = time.process_time()
    card_html(piece * 100_000)
    # The square of a megabyte's length would be minutes.
    assert time.process_time() - began < 20
