"""Signing in by a code that is typed into a page, as `hf auth login` does without a token."""

from embedhub.server.hub.routing import HubRoute

ROUTES: tuple[HubRoute, ...] = ()
