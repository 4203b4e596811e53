"""Who may do what: every cell of the table, and what holds for all of them."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedhub.errors import (
    EmbedhubError,
    ForbiddenError,
    GatedRepositoryError,
    RepositoryNotFoundError,
    UnauthorizedError,
)
from embedhub.hub.access import Action, Actor, Guarded, allowed, demand, demand_namespace

SEE, READ, DISCUSS, WRITE, ADMINISTER = Action

ROLES = ("", "read", "contributor", "write", "admin")
SCOPES = ("read", "write", "admin")

# By role ("" is somebody with a token and no role): the most that a token of scope write may do with a public
# repository, a private one, a gated one without and with having been let in, and whether it may make repositories.
TABLE = {
    "": (DISCUSS, None, SEE, DISCUSS, False),
    "read": (DISCUSS, DISCUSS, DISCUSS, DISCUSS, False),
    "contributor": (DISCUSS, DISCUSS, DISCUSS, DISCUSS, True),
    "write": (WRITE, WRITE, WRITE, WRITE, True),
    "admin": (ADMINISTER, ADMINISTER, ADMINISTER, ADMINISTER, True),
}


def _repository(*, private: bool = False, gated: bool = False, granted: bool = False) -> Guarded:
    return Guarded("acme/faq", "dataset", "acme", private, gated, granted)


SITUATIONS = (
    _repository(),
    _repository(private=True),
    _repository(gated=True),
    _repository(gated=True, granted=True),
)


def _actor(role: str, scope: str = "write") -> Actor:
    return Actor("alice", scope, {"acme": role} if role else {})


@pytest.mark.parametrize(("role", "situation"), list(product(ROLES, range(4))))
def test_every_role_with_a_token_of_scope_write(role: str, situation: int) -> None:
    assert allowed(_actor(role), SITUATIONS[situation]) == TABLE[role][situation]


@pytest.mark.parametrize(("role", "situation"), list(product(ROLES, range(4))))
def test_a_token_of_scope_read_reads_at_most(role: str, situation: int) -> None:
    most = TABLE[role][situation]
    assert allowed(_actor(role, "read"), SITUATIONS[situation]) == (None if most is None else min(READ, most))


@pytest.mark.parametrize(("role", "situation"), list(product(ROLES, range(4))))
def test_a_token_of_scope_admin_does_everything(role: str, situation: int) -> None:
    assert allowed(_actor(role, "admin"), SITUATIONS[situation]) == ADMINISTER


def test_somebody_without_a_token() -> None:
    assert [allowed(Actor(), situation) for situation in SITUATIONS] == [READ, None, SEE, READ]


@pytest.mark.parametrize(("role", "scope"), list(product(ROLES, SCOPES)))
def test_who_makes_repositories(role: str, scope: str) -> None:
    may = scope == "admin" or (scope == "write" and TABLE[role][4])
    if may:
        demand_namespace(_actor(role, scope), "acme")
        return
    with pytest.raises(ForbiddenError):
        demand_namespace(_actor(role, scope), "acme")


def test_ones_own_namespace_is_ones_own() -> None:
    own = Guarded("alice/x", "model", "alice", True, True)
    assert allowed(Actor("Alice", "write"), own) == ADMINISTER
    demand_namespace(Actor("alice", "write"), "ALICE")
    with pytest.raises(UnauthorizedError):
        demand_namespace(Actor(), "alice")
    # Nobody is not the owner of a namespace without a name.
    assert Actor("").role("") == ""


@pytest.mark.parametrize(
    ("actor", "repository", "action", "error"),
    [
        (Actor("bob", "write"), _repository(private=True), SEE, RepositoryNotFoundError),
        (Actor("bob", "write"), _repository(private=True), ADMINISTER, RepositoryNotFoundError),
        (Actor(), _repository(private=True), SEE, RepositoryNotFoundError),
        (Actor("bob", "write"), _repository(private=True, gated=True), READ, RepositoryNotFoundError),
        (Actor("bob", "write"), _repository(gated=True), READ, GatedRepositoryError),
        (Actor(), _repository(gated=True), READ, GatedRepositoryError),
        (Actor(), _repository(), WRITE, UnauthorizedError),
        (Actor("bob", "write"), _repository(), WRITE, ForbiddenError),
        (_actor("write"), _repository(), ADMINISTER, ForbiddenError),
        (_actor("admin", "read"), _repository(private=True), WRITE, ForbiddenError),
    ],
)
def test_what_a_refusal_says(actor: Actor, repository: Guarded, action: Action, error: type[EmbedhubError]) -> None:
    with pytest.raises(error) as caught:
        demand(actor, repository, action)
    assert type(caught.value) is error


_actors = st.builds(
    Actor,
    st.sampled_from(["", "alice", "bob", "acme"]),
    st.sampled_from(SCOPES[:2]),
    st.dictionaries(st.sampled_from(["acme", "ACME", "other"]), st.sampled_from(ROLES[1:]), max_size=2),
)
_repositories = st.builds(
    Guarded,
    st.just("acme/faq"),
    st.just("model"),
    st.sampled_from(["acme", "Acme", "alice"]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)


@given(_actors, _repositories)
def test_what_holds_for_everybody(actor: Actor, repository: Guarded) -> None:
    most = allowed(actor, repository)
    member = bool(actor.role(repository.namespace))
    if repository.private and not member:
        assert most is None
    if not repository.private:
        assert most is not None
    if not member and most is not None:
        assert most <= DISCUSS
    if actor.scope == "read" and most is not None:
        assert most <= READ
    if repository.gated and not repository.granted and not member and most is not None:
        assert most is SEE
    for action in Action:
        if most is not None and action <= most:
            demand(actor, repository, action)
        else:
            with pytest.raises(EmbedhubError):
                demand(actor, repository, action)


@given(_actors, _repositories)
def test_a_wider_scope_never_takes_anything_away(actor: Actor, repository: Guarded) -> None:
    levels = [allowed(Actor(actor.user, scope, actor.roles), repository) or 0 for scope in SCOPES]
    assert levels == sorted(levels)
