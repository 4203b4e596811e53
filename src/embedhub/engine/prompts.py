"""Which text is put before a text: the prompts of a model by name. Pure; rules as in sentence-transformers."""

from embedhub.errors import SettingError
from embedhub.models import ModelSpec

# Names under which models keep the prompt for queries and for documents, in order of preference. The first of each is
# a prompt that every model has, if only an empty one: asking for it is no mistake.
QUERY = ("query",)
DOCUMENT = ("document", "passage", "corpus")


def prompt_of(spec: ModelSpec, prompt: str | None, name: str | None) -> str:
    """The prompt itself where one is given, else the one of that name, else the model's default one.

    Raises:
        SettingError: the model has no prompt of that name; the message lists those it has.
    """
    if prompt is not None:
        return prompt
    chosen = name or spec.default_prompt_name
    if chosen is None:
        return ""
    if chosen not in (*spec.prompts, QUERY[0], DOCUMENT[0]):
        have = ", ".join(spec.prompts) or "none"
        raise SettingError(f"{spec.id} has no prompt {chosen!r}; it has: {have}")
    return spec.prompts.get(chosen, "")


def first_prompt(spec: ModelSpec, names: tuple[str, ...]) -> str:
    """The first of these names that the model has a prompt for, else the first of all."""
    return next((name for name in names if name in spec.prompts), names[0])
