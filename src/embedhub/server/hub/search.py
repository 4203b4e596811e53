"""Questions to an embedded dataset that is hosted here, and what its rows look like."""

from embedhub.server.hub.routing import HubRoute

ROUTES: tuple[HubRoute, ...] = ()
