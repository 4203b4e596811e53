"""What a client asks before it uploads: how, and whether at all."""

from embedhub.server.hub.routing import HubRoute

ROUTES: tuple[HubRoute, ...] = ()
