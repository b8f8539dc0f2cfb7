"""A secret that changes while a sandbox runs: the next revision of its grant says so."""

from __future__ import annotations

import asyncio

import pytest

from proxy.contract.grant import Grant, GrantSecret
from proxy.policy.model import Policy
from runtime.egress.live_grant import LiveGrant
from runtime.errors import InvalidInputError
from runtime.model.secret import Secret
from tests.unit.runtime.fakes import FakeLink

STAND_IN = "sk-placeholder-0123456789"
GRANT = Grant(
    sandbox_id="run-1",
    revision=1,
    policy=Policy("p"),
    proxy_address="10.0.0.2",
    sandbox_address="10.0.0.3",
    expires_in_s=60.0,
    token="t",
    secrets=(GrantSecret("KEY", "old-value", STAND_IN), GrantSecret("HELD", "held-value")),
)


class Clock:
    """Time that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


async def live(clock: Clock | None = None) -> tuple[FakeLink, LiveGrant]:
    """The grant in force."""
    link = FakeLink()
    worker = await link.open(GRANT.proxy_address)
    await worker.grant(GRANT)
    return link, LiveGrant(worker, GRANT, clock or Clock())


async def test_a_new_value_has_the_old_placeholder():
    """The sandbox goes on with what it holds; nothing else of the grant changes but its time."""
    clock = Clock()
    link, grant = await live(clock)
    clock.now += 20

    assert await grant.replace_secret("KEY", Secret("new-value"))

    given = link.grants["run-1"]
    assert {s.name: (s.value, s.placeholder) for s in given.secrets} == {
        "KEY": ("new-value", STAND_IN),
        "HELD": ("held-value", None),
    }
    assert (given.revision, given.expires_in_s, given.token) == (2, 40.0, "t")


async def test_a_removed_secret_leaves_the_grant():
    """Its placeholder means nothing from then on."""
    link, grant = await live()
    assert await grant.replace_secret("KEY", None)
    assert [s.name for s in link.grants["run-1"].secrets] == ["HELD"]
    assert not await grant.replace_secret("KEY", Secret("again"))


@pytest.mark.parametrize("name", ["HELD", "OTHER"])
async def test_what_is_no_brokers_is_left(name: str):
    """What the sandbox holds itself stays watched; what it never had stays unknown to it."""
    link, grant = await live()
    assert not await grant.replace_secret(name, Secret("new-value"))
    assert link.log == ["grant"]


async def test_a_value_that_cannot_be_delivered_takes_the_old_one_away():
    """No header can carry a line feed: the key that was replaced must not go on being used."""
    link, grant = await live()
    with pytest.raises(ValueError, match="cannot stand in a header"):
        await grant.replace_secret("KEY", Secret("two\nlines"))
    assert [s.name for s in link.grants["run-1"].secrets] == ["HELD"]


async def test_a_refused_revision_takes_the_old_value_away():
    """Whatever the proxy has against it."""
    link, grant = await live()

    async def refuse_once() -> None:
        link.before_grant = None
        raise InvalidInputError("no")

    link.before_grant = refuse_once
    with pytest.raises(InvalidInputError):
        await grant.replace_secret("KEY", Secret("new-value"))
    assert [s.name for s in link.grants["run-1"].secrets] == ["HELD"]


async def test_an_expired_grant_is_not_given_again():
    """A rotation is no extension."""
    clock = Clock()
    link, grant = await live(clock)
    clock.now += 61
    await grant.replace_secret("KEY", Secret("new-value"))
    assert link.log == ["grant"]


async def test_changes_come_in_order():
    """Two at once make two revisions."""
    link, grant = await live()
    await asyncio.gather(*(grant.replace_secret("KEY", Secret(f"value-{n}")) for n in range(5)))
    assert link.grants["run-1"].revision == 6
