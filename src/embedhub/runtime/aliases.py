"""Other names for models: what to say when the model behind one is not there.

Knows the settings' pairs of name and model; which models there are, others know.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from embedhub.config import Settings
from embedhub.errors import ModelError, ModelNotFoundError
from embedhub.runtime.loaded import Models


@contextmanager
def alias_told(name: str | None, config: Settings) -> Iterator[None]:
    """Have a model that is not found called by the name that was asked for, too.

    Raises:
        ModelNotFoundError: the block's own, with the alias before it.
    """
    try:
        yield
    except ModelNotFoundError as error:
        model = dict(config.model_aliases).get(name or "")
        if model is None:
            raise
        raise ModelNotFoundError(f"{name} stands for {model} (EMBEDHUB_MODEL_ALIASES): {error}") from error


async def dead_aliases(models: Models, config: Settings) -> list[str]:
    """For each alias whose model a request could not have, what is wrong with it."""
    found = []
    for name, _ in config.model_aliases:
        try:
            with alias_told(name, config):
                await models.describe(name)
        except ModelError as error:
            found.append(" ".join(str(error).split()))
    return found
