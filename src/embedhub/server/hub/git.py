"""git itself: clone, fetch and push over HTTP."""

from embedhub.server.hub.routing import HubRoute

ROUTES: tuple[HubRoute, ...] = ()
