"""Everything that can go wrong and is not a bug, as one tree.

Knows names, stable codes and exit statuses. Refuses to know who raises an error and how it is shown: the
command line prints one line, a server maps the code to a status.

    EmbedhubError                  "error"
    ├── SettingError               "setting"              a flag, variable or argument has an impossible value
    ├── InputError                 "input"                the texts handed in
    │   ├── InputNotFoundError     "input_not_found"      no such file
    │   ├── InputFormatError       "input_format"         a file that is broken, ragged or wrongly encoded
    │   ├── EmptyInputError        "input_empty"          a file without rows, a list without texts, a text of no length
    │   ├── ColumnError            "column"               no such column, none that holds text, or several
    │   ├── TextTypeError          "text_type"            a number or null where a text should be
    │   └── TextTooLongError       "text_too_long"        longer than the model reads, and that was forbidden
    ├── ModelError                 "model"                the weights
    │   ├── ModelNotFoundError     "model_not_found"      in none of the sources
    │   ├── ModelIntegrityError    "model_integrity"      files that are not what their checksum says
    │   ├── UnsupportedModelError  "model_unsupported"    an architecture, module or dtype that cannot be run here
    │   └── MissingExtraError      "missing_extra"        an optional library is not installed
    ├── DatasetError               "dataset"              a dataset folder
    │   ├── DatasetNotFoundError   "dataset_not_found"    not there, or not an embedded dataset
    │   ├── DatasetUnfinishedError "dataset_unfinished"   its embedding was interrupted
    │   ├── DatasetBusyError       "dataset_busy"         another process writes it
    │   └── ModelMismatchError     "model_mismatch"       asked with another model than the one that made it
    ├── ServiceError               "service"              a request to a running service
    │   ├── RequestError           "request"              a body that is not what the route reads
    │   ├── RequestTooLargeError   "request_too_large"    more bytes, texts or tokens than the limits allow
    │   ├── UnsupportedTaskError   "task_unsupported"     the model is of a kind that cannot do this
    │   ├── ModelLoadingError      "model_loading"        not loaded yet, and the caller did not want to wait
    │   ├── OverloadedError        "overloaded"           the queue is full
    │   ├── UnauthorizedError      "unauthorized"         no token, or one that is not valid
    │   ├── ForbiddenError         "forbidden"            a token that does not allow this
    │   ├── RateLimitedError       "rate_limited"         a token's allowance is used up
    │   ├── RequestTimeoutError    "request_timeout"      the client sent too slowly, or the answer took too long
    │   ├── ComputationError       "computation"          the computation itself failed
    │   ├── ShuttingDownError      "shutting_down"        the service is about to stop
    │   ├── JobError               "job"                  a job that is not in the state for this
    │   └── JobNotFoundError       "job_not_found"        not there, or another's
    ├── HubError                   "hub"                  what people own: users, tokens, repositories
    │   ├── AccountError           "account"              an impossible user or token, or one that is not there
    │   ├── HubDatabaseError       "hub_database"         the file they are kept in is damaged or cannot be used
    │   ├── RepositoryNotFoundError "repository_not_found" not there, or not for this user's eyes
    │   ├── GatedRepositoryError   "repository_gated"     seen by all, read by those who were let in
    │   ├── NamespaceNotFoundError "namespace_not_found"  no user or organisation of that name
    │   ├── RevisionNotFoundError  "revision_not_found"   no branch, tag or commit of that name
    │   ├── EntryNotFoundError     "entry_not_found"      no such file or folder at that revision
    │   ├── DiscussionNotFoundError "discussion_not_found" no discussion or pull request of that number
    │   ├── NotOfferedError        "not_offered"          not done here, or not without a program that is missing
    │   ├── HubNameError           "hub_name"             no name for a repository, branch or tag
    │   ├── HubPathError           "hub_path"             no path for a file in a repository
    │   ├── HubConflictError       "hub_conflict"         what is to be made is there already
    │   ├── StaleParentError       "stale_parent"         somebody else changed the branch meanwhile
    │   ├── HubContentError        "hub_content"          what was sent is not what it says, or not complete
    │   ├── HubStorageError        "hub_storage"          the folder of large files cannot be read or written
    │   ├── XetError               "xet"                  a xorb or a shard that is not one, or does not fit
    │   ├── SignatureError         "signature"            a link or token that was altered, is another's or has expired
    │   └── RemoteHubError         "remote_hub"           a Hub elsewhere refuses, or cannot be reached
    └── StorageFullError           "storage_full"         no space left on the device
"""

from typing import ClassVar


class EmbedhubError(Exception):
    """The base of every error that a user can cause or mend. The message is one line and names the way out."""

    code: ClassVar[str] = "error"
    exit_status: ClassVar[int] = 1


class SettingError(EmbedhubError):
    """A flag, a variable or an argument has an impossible value."""

    code = "setting"
    exit_status = 2


class InputError(EmbedhubError):
    """Something is wrong with the texts that were handed in."""

    code = "input"
    exit_status = 3


class InputNotFoundError(InputError):
    """There is no such file."""

    code = "input_not_found"


class InputFormatError(InputError):
    """The file is broken, ragged, wrongly encoded or of an unknown format."""

    code = "input_format"


class EmptyInputError(InputError):
    """A file without rows, a list without texts, or a text without characters where one is wanted."""

    code = "input_empty"


class ColumnError(InputError):
    """No column of that name, no column that holds text, or several."""

    code = "column"


class TextTypeError(InputError):
    """A number, a null or something else stands where a text should be."""

    code = "text_type"


class TextTooLongError(InputError):
    """A text is longer than the model reads, and the caller forbade to cut it.

    Attributes:
        position: which of the texts handed in, counted from 0, where the one who raises it knows.
        tokens: how many it has, likewise.
    """

    code = "text_too_long"

    def __init__(self, message: str, position: int | None = None, tokens: int | None = None) -> None:
        super().__init__(message)
        self.position = position
        self.tokens = tokens


class ModelError(EmbedhubError):
    """Something is wrong with a model."""

    code = "model"
    exit_status = 4


class ModelNotFoundError(ModelError):
    """The model is in none of the sources; the message lists what was tried, in order."""

    code = "model_not_found"


class ModelIntegrityError(ModelError):
    """A file of the model is not what its checksum says."""

    code = "model_integrity"


class UnsupportedModelError(ModelError):
    """An architecture, a module or a number type that cannot be run here."""

    code = "model_unsupported"


class MissingExtraError(ModelError):
    """An optional library is needed; the message says what to install."""

    code = "missing_extra"


class DatasetError(EmbedhubError):
    """Something is wrong with a dataset folder."""

    code = "dataset"
    exit_status = 5


class DatasetNotFoundError(DatasetError):
    """The folder is not there, or it is not an embedded dataset."""

    code = "dataset_not_found"


class DatasetUnfinishedError(DatasetError):
    """The folder's embedding was interrupted; running it again continues."""

    code = "dataset_unfinished"


class DatasetBusyError(DatasetError):
    """Another process is writing this folder."""

    code = "dataset_busy"


class ModelMismatchError(DatasetError):
    """A dataset made by one model was asked with another."""

    code = "model_mismatch"


class ServiceError(EmbedhubError):
    """Something is wrong with a request to a running service, or with the service.

    Attributes:
        retry_after: seconds after which it is worth to try again; None when it is not.
    """

    code = "service"
    exit_status = 7

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RequestError(ServiceError):
    """The body is not what the route reads."""

    code = "request"


class RequestTooLargeError(ServiceError):
    """More bytes, texts or tokens than the limits allow; the message names the limit's setting."""

    code = "request_too_large"


class UnsupportedTaskError(ServiceError):
    """The model is of a kind that cannot do what was asked."""

    code = "task_unsupported"


class ModelLoadingError(ServiceError):
    """The model is not loaded yet, and the caller did not want to wait; `retry_after` estimates how long it takes."""

    code = "model_loading"


class OverloadedError(ServiceError):
    """The queue is full."""

    code = "overloaded"


class UnauthorizedError(ServiceError):
    """No token, or one that is not valid."""

    code = "unauthorized"


class ForbiddenError(ServiceError):
    """The token does not allow this."""

    code = "forbidden"


class RateLimitedError(ServiceError):
    """The token's allowance is used up."""

    code = "rate_limited"


class RequestTimeoutError(ServiceError):
    """The client sent too slowly, or the answer took longer than allowed."""

    code = "request_timeout"


class ComputationError(ServiceError):
    """The computation itself failed; other requests are not touched by it."""

    code = "computation"


class ShuttingDownError(ServiceError):
    """The service is about to stop."""

    code = "shutting_down"


class JobError(ServiceError):
    """A job is not in the state for what was asked, or what was said of it is impossible."""

    code = "job"


class JobNotFoundError(ServiceError):
    """There is no such job, or it is another's."""

    code = "job_not_found"


class HubError(EmbedhubError):
    """Something is wrong with what people own."""

    code = "hub"
    exit_status = 8


class AccountError(HubError):
    """An impossible user or token, or one that is not there."""

    code = "account"


class HubDatabaseError(HubError):
    """The file of users and tokens is damaged or cannot be used."""

    code = "hub_database"


class RepositoryNotFoundError(HubError):
    """The repository is not there, or nobody who asks may know that it is."""

    code = "repository_not_found"


class GatedRepositoryError(HubError):
    """The repository is seen by all and read only by those who were let in."""

    code = "repository_gated"


class NamespaceNotFoundError(HubError):
    """There is no user or organisation of that name."""

    code = "namespace_not_found"


class RevisionNotFoundError(HubError):
    """The repository has no branch, tag or commit of that name."""

    code = "revision_not_found"


class EntryNotFoundError(HubError):
    """There is no such file or folder at that revision."""

    code = "entry_not_found"


class DiscussionNotFoundError(HubError):
    """The repository has no discussion or pull request of that number, or that has no such comment."""

    code = "discussion_not_found"


class NotOfferedError(HubError):
    """It is not done here, or not without a program that is not installed; the message names it."""

    code = "not_offered"


class HubNameError(HubError):
    """The name cannot be that of a repository, a branch or a tag."""

    code = "hub_name"


class HubPathError(HubError):
    """The path cannot be that of a file in a repository."""

    code = "hub_path"


class HubConflictError(HubError):
    """What is to be made is there already."""

    code = "hub_conflict"


class StaleParentError(HubError):
    """The branch is not where the caller saw it last."""

    code = "stale_parent"


class HubContentError(HubError):
    """What was sent is not what it says it is, or a part of it is missing."""

    code = "hub_content"


class HubStorageError(HubError):
    """The folder of large files cannot be read or written."""

    code = "hub_storage"


class XetError(HubError):
    """A xorb or a shard is not one, is larger than allowed, or names what is not there."""

    code = "xet"


class SignatureError(HubError):
    """A link or a token was altered, was made for something else, or has expired."""

    code = "signature"


class RemoteHubError(HubError):
    """A Hub that is asked over the network refuses, or cannot be reached."""

    code = "remote_hub"


class StorageFullError(EmbedhubError):
    """No space is left; what was finished is kept."""

    code = "storage_full"
    exit_status = 6
