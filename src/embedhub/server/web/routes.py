"""Every address of the site, asked in this order."""

from embedhub.server.hub.routing import HubRoute
from embedhub.server.web import assets, device_page, files, home, lists, model_page, settings, sign_in

ROUTES: tuple[HubRoute, ...] = (
    *assets.ROUTES,
    *sign_in.ROUTES,
    *device_page.ROUTES,
    *settings.ROUTES,
    *home.ROUTES,
    *lists.ROUTES,
    *files.ROUTES,
    # Last: any two words are a model's address.
    *model_page.ROUTES,
)
