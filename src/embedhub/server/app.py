"""The one place where rooms are wired together: settings in, an ASGI application out."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterable
from functools import partial

from starlette.applications import Starlette
from starlette.middleware import Middleware

from embedhub.config import Settings
from embedhub.hub.access import Actor
from embedhub.hub.derived import Derived
from embedhub.hub.hosting import Hub
from embedhub.runtime.apart import Apart
from embedhub.runtime.finding import Sources
from embedhub.runtime.hosted import HostedDatasets
from embedhub.runtime.hosted_maps import HostedMaps
from embedhub.runtime.hosted_models import HostedModels, ModelsOf
from embedhub.runtime.hosted_tables import HostedTables
from embedhub.runtime.jobs.runner import JobRunner
from embedhub.runtime.jobs.store import Jobs
from embedhub.runtime.service import Service
from embedhub.server.auth import Gate, Identity
from embedhub.server.cors import Cors
from embedhub.server.dialects.cohere.routes import ENDPOINTS as COHERE
from embedhub.server.dialects.hf.routes import ENDPOINTS as HF
from embedhub.server.dialects.openai.cl100k import vocabulary
from embedhub.server.dialects.openai.routes import ENDPOINTS as OPENAI
from embedhub.server.dialects.tei.routes import ENDPOINTS as TEI
from embedhub.server.endpoint import as_route
from embedhub.server.hub.layer import HubApp, actor_of
from embedhub.server.hub.routes import ROUTES as HUB
from embedhub.server.limits import Bodies
from embedhub.server.metrics import RequestMetrics, ServiceMetrics
from embedhub.server.observe import Observed
from embedhub.server.pages import own_endpoints
from embedhub.server.tracing import Tracer
from embedhub.server.unmatched import broken, unmatched
from embedhub.server.web.layout import refuse_page
from embedhub.server.web.routes import ROUTES as WEB

logger = logging.getLogger(__name__)

# Asked in this order: exact paths before patterns.
DIALECTS = (*OPENAI, *TEI, *COHERE, *HF)


def build_app(config: Settings, models: Iterable[str] = (), gate: Gate | None = None) -> Starlette:
    """The server.

    Args:
        config: the settings.
        models: models to load first; the first is the default model.
        gate: who may ask; None makes one of the settings.

    Raises:
        MissingExtraError: spans are to be sent or token ids to be read, and what that needs is not installed.
        ModelIntegrityError: a vocabulary that the settings ask for cannot be read.
    """
    if config.token_ids == "cl100k":
        # Read at once: without it the server would refuse what it was told to take.
        vocabulary(config.vocabularies)
    gate = gate or Gate(config)
    bodies = Bodies(config)
    models = tuple(models)
    hub = Hub(config.home)
    derived = Derived(hub, config.derived_mb << 20)
    apart = Apart()
    hosted = HostedDatasets(derived, apart, config)
    maps = HostedMaps(derived, apart)
    hosted_models = HostedModels(hub, derived, config, models)
    runner = JobRunner(Jobs(hub, config), hub, config)
    service = Service(config, models, sources=Sources(find=hosted_models.find))
    requests = RequestMetrics()
    numbers = ServiceMetrics(service, requests)
    tracer = Tracer(config.otlp_endpoint) if config.otlp_endpoint else None

    def services(identity: Identity) -> Service:
        actor = partial(actor_of, hub, gate, identity)
        return service.seen_through(ModelsOf(service.every_model, hosted_models, actor))

    endpoints = (*DIALECTS, *own_endpoints(DIALECTS, numbers.text, lambda: gate.has_tokens))

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        left = await asyncio.to_thread(hub.start)
        if left:
            logger.info("cleared away %d things that killed processes had left", left)
        await service.start()
        saving = asyncio.create_task(gate.quota.keep_saving())
        loop = asyncio.get_running_loop()
        runner.start(lambda payer, tokens: loop.call_soon_threadsafe(gate.quota.add, payer, tokens))
        try:
            yield
        finally:
            await asyncio.to_thread(runner.close)
            saving.cancel()
            await gate.quota.save()
            hosted.close()
            maps.close()
            apart.close()
            await service.close()
            gate.close()
            hub.close()
            if tracer is not None:
                await asyncio.to_thread(tracer.close)

    app = Starlette(
        routes=[as_route(endpoint, services, gate, bodies) for endpoint in endpoints],
        lifespan=lifespan,
        # What browsers are told is part of what is seen.
        middleware=[
            Middleware(Observed, requests, tracer, log_json=config.log_format == "json"),
            Middleware(Cors, gate=gate),
            Middleware(
                HubApp,
                routes=(*HUB, *WEB),
                hub=hub,
                services=services,
                hosted=hosted,
                tables=HostedTables(derived, apart),
                maps=maps,
                runner=runner,
                gate=gate,
                config=config,
                refuse_page=refuse_page,
            ),
        ],
        exception_handlers={404: unmatched, 405: unmatched, Exception: broken},
    )
    app.state.service = service
    # As whoever may use every model sees them.
    app.state.models = ModelsOf(service.every_model, hosted_models, partial(Actor, scope="admin"))
    app.state.runner = runner
    return app
