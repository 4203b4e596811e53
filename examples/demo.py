"""The whole way in one minute: texts in, a dataset folder out, a question answered.

python examples/demo.py [FOLDER]
"""

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from embedhub import EmbeddedDataset, Model
from embedhub.config import settings
from embedhub.datasets import BuildOptions, InputRequest
from embedhub.models import find_model
from embedhub.runtime.embedding import EmbedRequest, embed_file

QUESTIONS = Path(__file__).with_name("medicare_faq.txt")
QUERY = "How can Medicare help me?"

console = Console(highlight=False, soft_wrap=True)


@contextmanager
def timed(step: str) -> Iterator[None]:
    """Print the step with the seconds that the block took."""
    started = time.perf_counter()
    yield
    console.print(f"{time.perf_counter() - started:7.2f} s  {step}")


def main(folder: Path) -> None:
    """Run the demo into `folder`, which is made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    with timed(f"find the model {settings().model} (downloaded the first time)"):
        spec = find_model(settings().model, settings=settings())
    with timed("load it"):
        model = Model(spec.id)
    with timed(f"embed the {len(QUESTIONS.read_text().splitlines())} questions of {QUESTIONS.name} into {folder}/"):
        embed_file(EmbedRequest(InputRequest(QUESTIONS), folder, BuildOptions()), lambda: model)
    with timed(f"search for “{QUERY}”"):
        hits = EmbeddedDataset.load(folder, model=model).search(QUERY, top_k=5)
    console.print()
    for hit in hits:
        console.print(f"{hit['score']:.4f}  {hit['row']:>2}  {hit['text']}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "medicare-embedded"))
