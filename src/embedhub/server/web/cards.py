"""Cards: what somebody wrote about a repository, in Markdown, as a part of a page.

Knows Markdown, and that whoever wrote it may mean harm: what remains is text, tables, links and pictures of this very
server. Nothing of it runs, looks like the page around it, or is fetched from elsewhere.
"""

from collections.abc import Callable
from functools import lru_cache
from urllib.parse import urljoin, urlsplit

import nh3
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

# Longer ones are shown to here: people read cards, and what is made to take long takes the square of its length.
_LONGEST = 1 << 16
# With more of them than any card has, tags are shown as text: thousands inside each other take seconds to be closed.
_MOST_TAGS = 4000

# A page has headings of its own above a card's.
_DEMOTED_BY = 2
_LOWEST = 6

_TAGS = {
    *("a", "b", "blockquote", "br", "code", "dd", "del", "details", "div", "dl", "dt", "em", "h3", "h4", "h5", "h6"),
    *("hr", "i", "img", "kbd", "li", "ol", "p", "pre", "s", "span", "strong", "sub", "summary", "sup", "table"),
    *("tbody", "td", "tfoot", "th", "thead", "tr", "ul"),
}
_ATTRIBUTES = {
    "a": {"href", "title"},
    "img": {"src", "alt", "title", "width", "height"},
    "ol": {"start"},
    "td": {"align", "colspan", "rowspan"},
    "th": {"align", "colspan", "rowspan", "scope"},
}
# Whatever is inside these is no text for people.
_REMOVED_WHOLE = {"script", "style", "template", "iframe", "object", "svg", "math", "title", "textarea", "noscript"}


def card_html(markdown: str, files: str = "/") -> Markup:
    """The card as HTML that may be put into a page as it is.

    Args:
        markdown: without the head for machines.
        files: address of the folder whose files it speaks of, with a slash at both ends: relative links lead there.
    """
    return _rendered(markdown[:_LONGEST], files)


@lru_cache(maxsize=128)
def _rendered(markdown: str, files: str) -> Markup:
    parser = MarkdownIt("commonmark", {"html": markdown.count("<") <= _MOST_TAGS, "maxNesting": 20})
    parser.enable(["table", "strikethrough"])
    tokens = parser.parse(markdown)
    for token in tokens:
        _demote(token)
    html = parser.renderer.render(tokens, parser.options, {})
    clean = nh3.clean(
        html,
        tags=_TAGS,
        clean_content_tags=_REMOVED_WHOLE,
        attributes=_ATTRIBUTES,
        attribute_filter=_addresses(files),
        # A long line of code is reached by keys too.
        set_tag_attribute_values={"pre": {"tabindex": "0"}, "img": {"loading": "lazy"}},
        url_schemes={"http", "https", "mailto"},
        link_rel="nofollow noopener noreferrer",
    )
    return Markup(clean)


def _demote(token: Token) -> None:
    if token.type in ("heading_open", "heading_close"):
        token.tag = f"h{min(int(token.tag[1]) + _DEMOTED_BY, _LOWEST)}"


def _addresses(files: str) -> Callable[[str, str, str], str | None]:
    """Leads relative addresses to the repository's files, and leaves no picture that lies elsewhere."""

    def keep(tag: str, attribute: str, value: str) -> str | None:
        if attribute not in ("href", "src"):
            return value
        try:
            parts = urlsplit(value)
        except ValueError:
            return None
        # Browsers take a backslash for a slash: two of them begin the name of a host.
        is_elsewhere = bool(parts.scheme or parts.netloc) or "\\" in value or value.lstrip().startswith("//")
        if tag == "img":
            return None if is_elsewhere else urljoin(files, value)
        if is_elsewhere:
            return value if parts.scheme in ("http", "https", "mailto") else None
        return value if value.startswith("#") else urljoin(files, value)

    return keep
