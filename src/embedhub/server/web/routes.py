"""Every address of the site, asked in this order."""

from embedhub.server.hub.routing import HubRoute
from embedhub.server.web import (
    assets,
    dataset,
    dataset_map,
    dataset_rows,
    device_page,
    files,
    home,
    jobs,
    lists,
    model_page,
    playground,
    settings,
    sign_in,
)

ROUTES: tuple[HubRoute, ...] = (
    *assets.ROUTES,
    *sign_in.ROUTES,
    *device_page.ROUTES,
    *settings.ROUTES,
    *home.ROUTES,
    *jobs.ROUTES,
    *playground.ROUTES,
    *lists.ROUTES,
    *files.ROUTES,
    *dataset.ROUTES,
    *dataset_rows.ROUTES,
    *dataset_map.ROUTES,
    # Last: any two words are a model's address.
    *model_page.ROUTES,
)
