"""What lies in a repository: trees, paths, and which of them are large files."""

from embedhub.server.hub.routing import HubRoute

ROUTES: tuple[HubRoute, ...] = ()
