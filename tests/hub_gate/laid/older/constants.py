"""The names that huggingface_hub 0.36's tests import as testing_constants: this gate's server, users, tokens."""

from gate_accounts import ENDPOINT, ENTERPRISE_USER, HUB_USER, OTHER_USER, token_of

__all__ = ["ENTERPRISE_USER", "OTHER_USER"]

ENDPOINT_STAGING = ENDPOINT
ENDPOINT_PRODUCTION = "https://huggingface.co"
ENDPOINT_PRODUCTION_URL_SCHEME = ENDPOINT_PRODUCTION + "/{repo_id}/resolve/{revision}/{filename}"

USER, FULL_NAME, TOKEN = HUB_USER, "Dummy User", token_of(HUB_USER)
OTHER_TOKEN = token_of(OTHER_USER)
ENTERPRISE_ORG, ENTERPRISE_TOKEN = "EnterpriseOrgPrivate", token_of(ENTERPRISE_USER)
