"""Branches, tags and the history behind them."""

from embedhub.server.hub.routing import HubRoute

ROUTES: tuple[HubRoute, ...] = ()
