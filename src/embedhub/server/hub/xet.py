"""Large files as current clients send them: chunks, and shards that say how they make files."""

from embedhub.server.hub.routing import HubRoute

ROUTES: tuple[HubRoute, ...] = ()
