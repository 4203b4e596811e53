"""What the service counts of its models goes with them: their names come from requests."""

from dataclasses import replace

from tests.runtime.workers import serve

from embedhub.config import Settings
from embedhub.runtime.service import Service
from embedhub.server.metrics import Observation, RequestMetrics, ServiceMetrics
from embedhub.tasks import EmbedTexts


def test_models_that_were_dropped_are_in_no_numbers(config: Settings) -> None:
    async def work(service: Service) -> None:
        requests = RequestMetrics()
        numbers = ServiceMetrics(service, requests)
        for name in ("acme/a", "acme/b", "acme/c", "acme/d"):
            answer = await service.run(name, EmbedTexts(["the"]))
            requests.count(Observation("POST", "/embed", "tei", 200, 0.1, "", answer, 1, answer.read_tokens))
        told = numbers.text().decode()
        here = {loaded.name for loaded in service.loaded.ready}
        for name in ("acme/a", "acme/b", "acme/d"):
            assert (name in told) == (name in here) == (name == "acme/d")
        assert set(service.totals) <= here

    serve(replace(config, model_memory_mb=1), work)
