"""Repositories made, changed, moved and removed over the API."""

from embedhub.server.hub.routing import HubRoute

ROUTES: tuple[HubRoute, ...] = ()
