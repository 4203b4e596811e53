"""Numbers for Prometheus: what requests were like, and what the service did and has.

A request only adds to plain numbers; families and labels are made when somebody asks. Everything is counted once and
told twice: under our own names, and under those of text-embeddings-inference (`te_…`, its README and
`router/src/prometheus.rs`), so that its dashboards work. A path is labelled by its pattern, never as it was sent.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    UntypedMetricFamily,
)
from prometheus_client.registry import Collector

from embedhub import __version__
from embedhub.engine.model import Model
from embedhub.runtime.answers import Answer
from embedhub.runtime.distribution import SECONDS, SIZES, Distribution
from embedhub.runtime.service import Service

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# The route's label of requests for which there is no route.
_UNMATCHED = "unmatched"

_STAGES = ("duration", "tokenization_duration", "queue_duration", "inference_duration")

# What text-embeddings-inference calls our errors: by code, else by status.
_TEI_ERRORS = {"overloaded": "overloaded", "rate_limited": "overloaded", "input_empty": "empty"}


@dataclass(slots=True)
class Observation:
    """A request as seen from outside.

    Attributes:
        method: of HTTP.
        route: the pattern of its path; empty when there is none.
        dialect: whose accent it was answered in.
        status: of the response.
        seconds: until the response was sent.
        code: of the error, if it was one of ours.
        answer: what was computed, if anything was.
        texts, tokens: of the answer.
    """

    method: str
    route: str
    dialect: str
    status: int
    seconds: float
    code: str
    answer: Answer | None
    texts: int
    tokens: int


class _Inferences:
    """Answers of one kind and size: how many requests and texts, and what the stages took, as in `_STAGES`."""

    def __init__(self, kind: str, size: str) -> None:
        self.kind = kind
        self.size = size
        self.requests = 0
        self.texts = 0
        self.stages = tuple(Distribution(SECONDS) for _ in _STAGES)

    def add(self, texts: int, seconds: float, answer: Answer) -> None:
        self.requests += 1
        self.texts += texts
        times = answer.timings
        whole, tokenization, queue, inference = self.stages
        whole.add(seconds)
        tokenization.add(times.tokenization)
        queue.add(times.queue)
        inference.add(times.inference)


class RequestMetrics:
    """What was counted of requests since the process began.

    Attributes:
        in_flight: requests that are being answered.
    """

    def __init__(self) -> None:
        self.in_flight = 0
        self._requests: Counter[tuple[str, str, str, int]] = Counter()
        self._seconds: dict[str, Distribution] = {}
        self._errors: Counter[str] = Counter()
        self._texts: Counter[str] = Counter()
        self._tokens: Counter[str] = Counter()
        self._truncated: Counter[str] = Counter()
        self._input_tokens = Distribution(SIZES)
        # By whether the model embeds and whether it was one text.
        self._answers = {
            (embeds, alone): _Inferences("embed" if embeds else "predict", "single" if alone else "batch")
            for embeds in (True, False)
            for alone in (True, False)
        }
        self._failures: Counter[str] = Counter()

    def forget_all_but(self, models: Collection[str]) -> None:
        """Forget what was counted of models that are not loaded any more: names come from requests."""
        for counter in (self._texts, self._tokens, self._truncated):
            for name in counter.keys() - models:
                del counter[name]

    def count(self, seen: Observation) -> None:
        """Count a request."""
        route = seen.route or _UNMATCHED
        # The method comes from outside: only those of a route are few.
        self._requests[(seen.method if seen.route else "", route, seen.dialect, seen.status)] += 1
        seconds = self._seconds.get(route)
        if seconds is None:
            seconds = self._seconds[route] = Distribution(SECONDS)
        seconds.add(seen.seconds)
        if seen.status >= 400:
            self._errors[seen.code or f"http_{seen.status}"] += 1
            if seen.method == "POST" and seen.route:
                self._failures[_tei_error(seen)] += 1
        elif seen.answer is not None:
            self._count_answer(seen.answer, seen)

    def _count_answer(self, answer: Answer, seen: Observation) -> None:
        name = answer.loaded.name
        self._texts[name] += seen.texts
        self._tokens[name] += seen.tokens
        if answer.truncated or answer.query_truncated:
            self._truncated[name] += len(answer.truncated) + answer.query_truncated
        alone = seen.texts == 1
        if alone:
            self._input_tokens.add(seen.tokens)
        else:
            self._input_tokens.add_all(answer.tokens)
        self._answers[isinstance(answer.loaded.model, Model), alone].add(seen.texts, seen.seconds, answer)

    def families(self) -> Iterator[Metric]:
        """What was counted, under our names."""
        yield _gauge("embedhub_requests_in_flight", "Requests that are being answered.", [({}, self.in_flight)])
        yield _counter(
            "embedhub_requests",
            "Requests answered.",
            (
                ({"method": method, "route": route, "dialect": dialect, "status": str(status)}, count)
                for (method, route, dialect, status), count in self._requests.items()
            ),
        )
        yield _histogram(
            "embedhub_request_seconds",
            "Seconds until a request was answered.",
            (({"route": route}, seconds) for route, seconds in self._seconds.items()),
        )
        yield _counter("embedhub_errors", "Errors by code.", _labelled("code", self._errors))
        yield _counter("embedhub_texts", "Texts answered.", _labelled("model", self._texts))
        yield _counter("embedhub_tokens", "Tokens of texts answered.", _labelled("model", self._tokens))
        yield _counter("embedhub_truncated_texts", "Texts read in part only.", _labelled("model", self._truncated))

    def tei_families(self) -> Iterator[Metric]:
        """The same under the names of text-embeddings-inference, whose counters do not end in `_total`."""
        answers = list(self._answers.values())
        failed = sum(self._failures.values())
        by_size = {size: [each for each in answers if each.size == size] for size in ("single", "batch")}
        by_kind = {kind: [each for each in answers if each.kind == kind] for kind in ("embed", "predict")}
        counted = [({"method": size}, sum(each.requests for each in found)) for size, found in by_size.items()]
        yield _untyped("te_request_count", "Requests to compute.", [*counted, ({"method": "unknown"}, failed)])
        yield _untyped("te_request_success", "Requests computed.", counted)
        yield _untyped("te_request_failure", "Requests that failed.", list(_labelled("err", self._failures)))
        for place, stage in enumerate(_STAGES):
            sizes = [({"method": size}, _stage(found, place)) for size, found in by_size.items()]
            yield _histogram(f"te_request_{stage}", "Seconds of a request.", sizes)
        yield _histogram("te_request_input_length", "Tokens of a text.", [({}, self._input_tokens)])
        for kind, found in by_kind.items():
            texts: Labelled = [({}, sum(each.texts for each in found))]
            yield _untyped(f"te_{kind}_count", "Texts computed.", texts)
            yield _untyped(f"te_{kind}_success", "Texts computed.", texts)
            for place, stage in enumerate(_STAGES):
                yield _histogram(f"te_{kind}_{stage}", "Seconds of a request.", [({}, _stage(found, place))])


class ServiceMetrics(Collector):
    """Everything, collected when asked.

    Args:
        service: what computes.
        requests: what was counted of requests.
    """

    def __init__(self, service: Service, requests: RequestMetrics) -> None:
        self._service = service
        self._requests = requests
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self._registry)

    def describe(self) -> Iterable[Metric]:
        """Nothing in advance: names are ours alone in this registry."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Every family."""
        here = {each.name for each in self._service.loaded.ready}
        self._requests.forget_all_but(here)
        yield _gauge("embedhub_info", "The version that runs.", [({"version": __version__}, 1)])
        yield from self._requests.families()
        yield from self._models()
        yield from self._queues()
        yield from self._totals()
        yield from self._requests.tei_families()

    def _models(self) -> Iterator[Metric]:
        loaded = self._service.loaded.ready
        kinds = [
            ({"model": each.name, "dtype": each.model.dtype, "backend": each.model.backend}, 1.0) for each in loaded
        ]
        named = [({"model": each.name}, each) for each in loaded]
        yield _gauge("embedhub_model_loaded", "Models that are loaded.", kinds)
        yield _gauge(
            "embedhub_model_memory_bytes",
            "Memory a model takes, estimated.",
            [(labels, each.memory_bytes) for labels, each in named],
        )
        yield _gauge(
            "embedhub_model_load_seconds",
            "Seconds a model took to load.",
            [(labels, each.load_seconds) for labels, each in named],
        )
        yield _gauge(
            "embedhub_model_users", "Requests that use a model now.", [(labels, each.users) for labels, each in named]
        )

    def _queues(self) -> Iterator[Metric]:
        queues = [({"model": each.name}, each.scheduler) for each in self._service.loaded.ready]
        waiting = [(labels, queue.waiting) for labels, queue in queues]
        yield _gauge("embedhub_queue_texts", "Texts that wait.", waiting)
        yield _gauge(
            "embedhub_queue_tokens", "Tokens that wait.", [(labels, queue.waiting_tokens) for labels, queue in queues]
        )
        yield _gauge(
            "embedhub_computing_texts",
            "Texts that are being computed.",
            [(labels, queue.computing) for labels, queue in queues],
        )
        yield _gauge("te_queue_size", "Texts that wait.", [({}, sum(count for _, count in waiting))])

    def _totals(self) -> Iterator[Metric]:
        here = {each.name for each in self._service.loaded.ready}
        totals = [({"model": name}, each) for name, each in list(self._service.totals.items()) if name in here]
        sizes = [(labels, each.pack_jobs) for labels, each in totals]
        tokens = [(labels, each.pack_tokens) for labels, each in totals]
        computed = [(labels, each.pack_computed_tokens) for labels, each in totals]
        fill = [
            (labels, each.pack_tokens.total / each.pack_computed_tokens)
            for labels, each in totals
            if each.pack_computed_tokens
        ]
        yield _counter("embedhub_packs", "Packs computed.", [(labels, found.count) for labels, found in sizes])
        yield _histogram("embedhub_pack_texts", "Texts of a pack.", sizes)
        yield _histogram("embedhub_pack_tokens", "Tokens of a pack.", tokens)
        yield _counter("embedhub_pack_computed_tokens", "Tokens computed, filler included.", computed)
        yield _gauge("embedhub_pack_fill", "Tokens of texts among those computed, since the start.", fill)
        hits = [(labels, each.cache_hits) for labels, each in totals]
        misses = [(labels, each.cache_misses) for labels, each in totals]
        yield _counter("embedhub_cache_hits", "Vectors that were computed before.", hits)
        yield _counter("embedhub_cache_misses", "Vectors that were not.", misses)
        held = self._service.cache.memory_bytes
        yield _gauge("embedhub_cache_bytes", "Memory that the cache of vectors takes.", [({}, held)])
        yield _histogram("te_batch_next_size", "Texts of a pack.", sizes)
        yield _histogram("te_batch_next_tokens", "Tokens of a pack.", tokens)


def _stage(found: Iterable[_Inferences], place: int) -> Distribution:
    return Distribution.merged(each.stages[place] for each in found)


Labelled = Iterable[tuple[dict[str, str], float]]


def _labelled(name: str, counts: Counter[str]) -> Labelled:
    return [({name: label}, count) for label, count in counts.items()]


def _counter(name: str, help: str, samples: Labelled) -> Metric:
    return _filled(CounterMetricFamily(name, help), f"{name}_total", samples)


def _gauge(name: str, help: str, samples: Labelled) -> Metric:
    return _filled(GaugeMetricFamily(name, help), name, samples)


def _untyped(name: str, help: str, samples: Labelled) -> Metric:
    return _filled(UntypedMetricFamily(name, help), name, samples)


def _filled(family: Metric, name: str, samples: Labelled) -> Metric:
    for labels, value in samples:
        family.add_sample(name, labels, value)
    return family


def _histogram(name: str, help: str, samples: Iterable[tuple[dict[str, str], Distribution]]) -> Metric:
    family = HistogramMetricFamily(name, help)
    for labels, found in samples:
        for bound, count in found.cumulative:
            family.add_sample(f"{name}_bucket", labels | {"le": bound}, count)
        family.add_sample(f"{name}_count", labels, found.count)
        family.add_sample(f"{name}_sum", labels, found.total)
    return family


def _tei_error(seen: Observation) -> str:
    found = _TEI_ERRORS.get(seen.code)
    if found is not None:
        return found
    if seen.status == 503:
        return "unhealthy"
    return "backend" if seen.status >= 500 else "validation"
