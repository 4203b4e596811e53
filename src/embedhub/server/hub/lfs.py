"""Large files as git-lfs and older clients send and fetch them."""

from embedhub.server.hub.routing import HubRoute

ROUTES: tuple[HubRoute, ...] = ()
