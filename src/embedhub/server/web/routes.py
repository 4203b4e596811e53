"""Every address of the site, asked in this order."""

from embedhub.server.hub.routing import HubRoute
from embedhub.server.web import assets, home, jobs, sign_in

ROUTES: tuple[HubRoute, ...] = (
    *assets.ROUTES,
    *sign_in.ROUTES,
    *home.ROUTES,
    *jobs.ROUTES,
)
