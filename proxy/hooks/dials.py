"""The one way to a checked address: vet a destination, then dial what was vetted and nothing else.

Whatever names a destination (CONNECT, a server name, a request) comes through `vet`, and `vet` looks for
a secret in the name before the name goes anywhere: a lookup would carry it to the name's own servers.
"""

from __future__ import annotations

from proxy.admission.grants import GrantRegistry
from proxy.admission.session import Address, Session
from proxy.contract.decision_line import MASK
from proxy.contract.grant import Grant
from proxy.destination.resolve import Lookup, NotDialableError, vetted_address
from proxy.hooks.known import KnownSecrets
from proxy.hooks.llm_door import LlmDoor
from proxy.policy.llm import LLM_HOST
from proxy.policy.model import Decision
from proxy.policy.reasons import ReasonCode
from proxy.policy.refusal import RefusedError, deny
from proxy.secrets.broker import leak_decision
from proxy.secrets.forms import find_in_name


class Dials:
    """Vets destinations and keeps, in each session, which dial is for which name."""

    def __init__(self, grants: GrantRegistry, known: KnownSecrets, door: LlmDoor, lookup: Lookup) -> None:
        self._grants = grants
        self._known = known
        self._door = door
        self._lookup = lookup

    async def vet(self, session: Session, grant: Grant, host: str, port: int) -> Decision | None:
        """Look for a secret, resolve and check, once per connection and destination; the failure, if any."""
        found = find_in_name(self._known.of(grant).forms, host)
        if found is not None:
            return leak_decision(found, host=MASK, rule_id=None)
        if host == LLM_HOST:
            return self._door.refusal(grant.policy)
        if (host, port) in session.pins:
            return None
        try:
            own = self._grants.proxy_addresses()
            session.pins[host, port] = await vetted_address(
                grant.policy, host, own_addresses=own, lookup=self._lookup
            )
        except NotDialableError as exc:
            return exc.decision
        return None

    def begin(self, session: Session, server_id: str, name: Address) -> str | None:
        """The address to dial for `name`; None where none was checked for this connection."""
        pinned = session.pins.get(name)
        if pinned is not None:
            session.dials[server_id] = name
        return pinned

    def finish(self, session: Session, server_id: str, peer_address: str | None) -> Address:
        """The name of a dial that has come through.

        Raises RefusedError where the peer is not the address that was checked, KeyError where nobody began
        this dial.
        """
        name = session.dials.pop(server_id)
        if peer_address is None or peer_address != session.pins[name]:
            raise RefusedError(deny(ReasonCode.DNS_REBIND, "the peer is not the address that was checked"))
        return name

    def give_up(self, session: Session, server_id: str) -> None:
        """Forget a dial that has failed or was refused."""
        session.dials.pop(server_id, None)
