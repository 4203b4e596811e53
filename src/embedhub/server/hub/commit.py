"""Commits, as lines of JSON."""

from embedhub.server.hub.routing import HubRoute

ROUTES: tuple[HubRoute, ...] = ()
