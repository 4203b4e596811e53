"""Every address of the site, asked in this order."""

from embedhub.server.hub.routing import HubRoute
from embedhub.server.web import assets, files, home, lists, model_page, playground, sign_in

ROUTES: tuple[HubRoute, ...] = (
    *assets.ROUTES,
    *sign_in.ROUTES,
    *home.ROUTES,
    *playground.ROUTES,
    *lists.ROUTES,
    *files.ROUTES,
    # Last: any two words are a model's address.
    *model_page.ROUTES,
)
