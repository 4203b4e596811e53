"""The names that datasets' tests import from fixtures.hub: this gate's server and the user that pushes to it."""

from gate_accounts import DATASETS_USER, ENDPOINT, token_of

CI_HUB_ENDPOINT = ENDPOINT
CI_HUB_USER, CI_HUB_USER_TOKEN = DATASETS_USER, token_of(DATASETS_USER)
