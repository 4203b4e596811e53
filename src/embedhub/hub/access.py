"""Who may do what with a repository: one table and one function. Pure.

Knows what a user's role and a token's scope allow. Refuses to know how somebody proved who they are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from embedhub.errors import ForbiddenError, GatedRepositoryError, RepositoryNotFoundError, UnauthorizedError


class Action(IntEnum):
    """What somebody wants; each holds those before it."""

    SEE = 1  # that it is there, and what it says of itself
    READ = 2  # its files
    DISCUSS = 3  # comments and pull requests
    WRITE = 4  # commits, branches, tags
    ADMINISTER = 5  # settings, its name, its end


# What each role in the namespace of a repository allows. A contributor makes repositories and proposes changes.
_ROLES: Mapping[str, Action] = {
    "read": Action.DISCUSS,
    "contributor": Action.DISCUSS,
    "write": Action.WRITE,
    "admin": Action.ADMINISTER,
}

# What a token of each scope allows at most. One of scope admin administers the whole Hub.
_SCOPES: Mapping[str, Action] = {"read": Action.READ, "write": Action.ADMINISTER, "admin": Action.ADMINISTER}

_WORDS: Mapping[Action, str] = {
    Action.SEE: "see",
    Action.READ: "read",
    Action.DISCUSS: "take part in discussions of",
    Action.WRITE: "write to",
    Action.ADMINISTER: "administer",
}


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody who asks.

    Attributes:
        user: name; empty for somebody without a token.
        scope: of the token: read, write or admin; what the server lets somebody without one do.
        roles: in organisations, by the organisation's name.
    """

    user: str = ""
    scope: str = "read"
    roles: Mapping[str, str] = field(default_factory=dict)

    def role(self, namespace: str) -> str:
        """The role in a namespace; empty is none."""
        wanted = namespace.lower()
        if self.user.lower() == wanted and self.user:
            return "admin"
        return next((role for name, role in self.roles.items() if name.lower() == wanted), "")

    @property
    def is_administrator(self) -> bool:
        """Whether the whole Hub is theirs."""
        return self.scope == "admin"


@dataclass(frozen=True, slots=True)
class Guarded:
    """What access depends on, of a repository.

    Attributes:
        name: namespace/name.
        kind: `model`, `dataset` or `space`.
        namespace: whose it is.
        private: whether others may know of it.
        gated: whether others must be let in to read.
        granted: whether this actor was.
    """

    name: str
    kind: str
    namespace: str
    private: bool
    gated: bool
    granted: bool = False


def allowed(actor: Actor, repository: Guarded) -> Action | None:
    """The most that somebody may do; None: not even know that it is there."""
    if actor.is_administrator:
        return Action.ADMINISTER
    role = _ROLES.get(actor.role(repository.namespace))
    by_visibility: Action | None = None
    if not repository.private:
        by_visibility = Action.DISCUSS if actor.user else Action.READ
        if repository.gated and not repository.granted:
            by_visibility = Action.SEE
    most = max((each for each in (role, by_visibility) if each is not None), default=None)
    return None if most is None else min(most, _SCOPES[actor.scope])


def may(actor: Actor, repository: Guarded, action: Action) -> bool:
    """Whether the actor may."""
    most = allowed(actor, repository)
    return most is not None and most >= action


def demand(actor: Actor, repository: Guarded, action: Action) -> None:
    """Nothing, if the actor may.

    Raises:
        RepositoryNotFoundError: they may not even know of it.
        GatedRepositoryError: they may see it and were not let in to read.
        UnauthorizedError: they may not, and a token may help.
        ForbiddenError: they may not.
    """
    most = allowed(actor, repository)
    if most is None:
        raise repository_not_found(repository.kind, repository.name)
    if most >= action:
        return
    if most is Action.SEE and repository.gated:
        raise GatedRepositoryError(
            f"Access to {repository.kind} {repository.name} is restricted and you are not in the authorized list. "
            "Ask its owners to let you in."
        )
    if not actor.user:
        raise UnauthorizedError(f"a token is needed to {_WORDS[action]} {repository.name}")
    raise ForbiddenError(
        f"you may not {_WORDS[action]} {repository.name}: it takes a token of scope write of somebody with that role"
    )


def demand_namespace(actor: Actor, namespace: str) -> None:
    """Nothing, if the actor may make repositories in a namespace.

    Raises:
        UnauthorizedError: they may not, and a token may help.
        ForbiddenError: they may not.
    """
    if actor.is_administrator:
        return
    if not actor.user:
        raise UnauthorizedError(f"a token is needed to make a repository in {namespace}")
    if actor.scope == "read" or actor.role(namespace) not in ("contributor", "write", "admin"):
        raise ForbiddenError(
            f"you may not make repositories in {namespace}: it takes a token of scope write of a member with that role"
        )


def repository_not_found(kind: str, name: str) -> RepositoryNotFoundError:
    """The error for a repository that is not there, and for one that is not for everybody's eyes: the same."""
    return RepositoryNotFoundError(
        f"{kind.capitalize()} {name} not found, or it is private and this is no token for it"
    )
