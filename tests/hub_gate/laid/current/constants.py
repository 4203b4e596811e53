"""The names that huggingface_hub 2.4's tests import as testing_constants: this gate's server, its users, their tokens.

What stands for something on huggingface.co is named only so that the tests can be imported; those that would ask for it
are never run.
"""

from gate_accounts import ENDPOINT, ENTERPRISE_USER, HUB_USER, OTHER_USER, token_of

__all__ = ["ENTERPRISE_USER", "OTHER_USER"]

ENDPOINT_STAGING = ENDPOINT
ENDPOINT_PRODUCTION = "https://huggingface.co"
ENDPOINT_PRODUCTION_URL_SCHEME = ENDPOINT_PRODUCTION + "/{repo_id}/resolve/{revision}/{filename}"

USER, FULL_NAME, TOKEN = HUB_USER, "Dummy User", token_of(HUB_USER)
OTHER_TOKEN = token_of(OTHER_USER)
ENTERPRISE_ORG, ENTERPRISE_TOKEN = "EnterpriseOrgPrivate", token_of(ENTERPRISE_USER)

NOWHERE = "nobody/nothing"
DUMMY_MODEL_ID = DUMMY_DATASET_ID = SAMPLE_DATASET_IDENTIFIER = NOWHERE
DUMMY_RENAMED_OLD_MODEL_ID = DUMMY_XET_MODEL_ID = DUMMY_EXTRA_LARGE_FILE_MODEL_ID = NOWHERE
DUMMY_MODEL_ID_REVISION_ONE_SPECIFIC_COMMIT = DUMMY_DATASET_ID_REVISION_ONE_SPECIFIC_COMMIT = "0" * 40
DUMMY_XET_FILE = DUMMY_EXTRA_LARGE_FILE_NAME = "nothing.safetensors"
