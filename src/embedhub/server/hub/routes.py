"""Every address of the Hub, asked in this order."""

from embedhub.server.hub import (
    commit,
    device,
    discussions,
    files,
    git,
    identity,
    info,
    jobs,
    lfs,
    manage,
    people,
    references,
    resolve,
    search,
    upload,
    viewer,
    xet,
)
from embedhub.server.hub.routing import HubRoute

ROUTES: tuple[HubRoute, ...] = (
    *identity.ROUTES,
    *device.ROUTES,
    *manage.ROUTES,
    *info.ROUTES,
    *people.ROUTES,
    *files.ROUTES,
    *resolve.ROUTES,
    *references.ROUTES,
    *discussions.ROUTES,
    *upload.ROUTES,
    *commit.ROUTES,
    *lfs.ROUTES,
    *xet.ROUTES,
    *git.ROUTES,
    *search.ROUTES,
    *viewer.ROUTES,
    *jobs.ROUTES,
)
