"""Jobs in, pooled vectors out: a backend joined with one model's way of pooling.

Knows which of the pooling happens in the graph and which behind it. Refuses to know texts, and who decides what is
computed together: plans come from outside, drawn one by one as the backend has room.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from embedhub.engine import packing, pooling
from embedhub.engine.backends import Backend
from embedhub.engine.packing import Batch, Job, Pack

Floats = NDArray[np.float32]

# Jobs with the pack that was planned for them; the pack's numbers are places in the sequence.
Planned = tuple[Pack, Sequence[Job]]

# Called once a pack, from any thread, with the pack as arrays and what was computed for its texts, in their order.
TakePooled = Callable[[Batch, Floats], None]
TakeTokens = Callable[[Batch, list[Floats]], None]


class Encoder:
    """One model's computation, from token ids to pooled vectors.

    Args:
        backend: computes token vectors or their sums.
        modes: pooling modes, concatenated.
        hidden_size: width H of a token's vector.
        filler: token id for places without a text.
        pack_tokens: tokens worth computing at once.
        batch_size: jobs of a length-sorted batch.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        modes: Sequence[str],
        hidden_size: int,
        filler: int,
        pack_tokens: int,
        batch_size: int,
    ) -> None:
        self.backend = backend
        self.batch_size = batch_size
        self.width = hidden_size * len(modes)
        self.pack_tokens = pack_tokens
        self._modes = tuple(modes)
        self._filler = filler

    @property
    def lanes(self) -> int:
        """How many packs are computed side by side."""
        return self.backend.lanes

    def prepare(self) -> None:
        """Make ready for several packs at once, which else the first of them wait for. Holds back nothing."""
        self.backend.prepare(tokens="max" in self._modes)

    def plan_arriving(self, jobs: Sequence[Job]) -> list[Pack]:
        """How jobs that arrived together are laid out: side by side where the backend can, else by length."""
        lengths = [len(job.ids) for job in jobs]
        if self.backend.packs_rows:
            return [packing.arrange(lengths, budget=self.pack_tokens)]
        return packing.plan_rows(lengths)

    def plan(self, jobs: Sequence[Job], *, mixed: bool = False, batch_size: int | None = None) -> list[Pack]:
        """How jobs that are all there are laid out: length-sorted batches, or `mixed` in packs in their own order."""
        lengths = [len(job.ids) for job in jobs]
        if mixed and self.backend.packs_rows:
            return packing.plan_packed(lengths, budget=self.pack_tokens)
        return packing.plan_sorted(lengths, batch_size=batch_size or self.batch_size, token_limit=self.pack_tokens)

    def compute(self, jobs: Sequence[Job], *, mixed: bool = False, batch_size: int | None = None) -> Floats:
        """Pooled vectors of jobs that are all there, float32 [jobs, width]."""
        pooled = np.empty((len(jobs), self.width), np.float32)

        def take(batch: Batch, vectors: Floats) -> None:
            pooled[list(batch.texts)] = vectors

        self.run(((pack, jobs) for pack in self.plan(jobs, mixed=mixed, batch_size=batch_size)), take)
        return pooled

    def compute_tokens(self, jobs: Sequence[Job]) -> list[Floats]:
        """The vectors of each job's tokens, float32 [tokens, H]."""
        found: dict[int, Floats] = {}

        def take(batch: Batch, tokens: list[Floats]) -> None:
            found.update(zip(batch.texts, tokens, strict=True))

        self.run_tokens(((pack, jobs) for pack in self.plan(jobs)), take)
        return [found[job] for job in range(len(jobs))]

    def run(self, planned: Iterable[Planned], take: TakePooled) -> None:
        """Compute packs and hand their pooled vectors, float32 [texts, width], to `take`, in any order.

        Raises:
            Exception: whatever `take` raised.
        """
        # A maximum is no sum: it is taken from the tokens' own vectors.
        if "max" in self._modes:
            self.backend.run(
                self._batches(planned),
                None,
                lambda batch, tokens: take(batch, pooling.pool_tokens(tokens, batch, self._modes)),
            )
            return
        self.backend.run(
            self._batches(planned),
            lambda batch: pooling.pool_matrix(batch, self._modes),
            lambda batch, sums: take(batch, pooling.finish_sums(sums, batch, self._modes)),
        )

    def run_tokens(self, planned: Iterable[Planned], take: TakeTokens) -> None:
        """Compute packs and hand each text's token vectors, float32 [tokens, H], to `take`, in any order."""

        def split(batch: Batch, tokens: Floats) -> None:
            take(
                batch, [tokens[start : start + n].copy() for start, n in zip(batch.starts, batch.lengths, strict=True)]
            )

        self.backend.run(self._batches(planned), None, split)

    def _batches(self, planned: Iterable[Planned]) -> Iterable[Batch]:
        return (packing.lay_out(pack, jobs, self._filler) for pack, jobs in planned)
