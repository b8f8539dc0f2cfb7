"""The probe can fail: with one defence taken out, the cases that aim at it say so."""

from __future__ import annotations

import asyncio
import copy
import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest

import runtime.daemon.daemon
import runtime.sandbox.plan
from runtime.containers import labels
from runtime.containers.helper import helper_config, run_helper
from runtime.daemon.settings import Settings
from runtime.errors import NotFoundError
from runtime.model.limits import Isolation
from runtime.network.guard import HostGuard
from runtime.network.proof import GuardStatus
from runtime.network.rules import TABLE
from runtime.probe.attack import attack_from, cases_for, probe
from runtime.probe.corpus.case import Case
from runtime.probe.lab import ProbeLab, probe_lab
from runtime.probe.result import Result, Verdict
from tests.probe.sabotage import Sabotage

# The lab's loop ends with connections of a proxy that was sabotaged; what is asserted is the verdict.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

PROXY: dict[str, tuple[str, ...]] = {
    "default_deny": ("N-00", "N-32", "N-32b"),
    "address_check": ("A-01-private", "A-04-metadata", "A-11-mixed"),
    "pinning": ("A-12",),
    "server_name_check": ("N-28c",),
    "host_check": ("N-29", "N-30", "N-36"),
    "protocol_check": ("P-08a", "P-11a"),
    "upstream_verification": ("P-14a", "P-14b", "P-14c"),
    "dns_sink": ("P-03-a-udp", "P-03-txt-udp"),
    "token_check": ("S-19a", "S-19b"),
    "header_cleaning": ("C-10",),
    "listeners": ("L-11",),
    "path_rules": ("N-50a", "N-50d"),
    "path_spellings": ("N-50b", "N-50e", "N-50f", "N-50i"),
    "replacements": ("N-51a", "N-51d", "N-51f", "S-07q", "S-07r"),
    "stream_check": ("P-21d",),
    "budgets": ("P-36", "R-12"),
    "deadlines": ("P-33",),
    "head_check": ("P-19", "P-20a", "N-47b"),
    "credential_pinning": ("S-06a", "S-07a", "S-07d", "S-07j", "S-07m", "S-07o", "S-07p"),
    "credential_binding": ("S-08a", "S-08c", "S-08e"),
    "tripwire": ("S-14a", "S-14g", "S-14h", "S-14l"),
    "reflection": ("S-09",),
}
"""Defence of the proxy -> cases, each of which must notice that it is gone."""
WHOLE = tuple(cases[0] for defence, cases in PROXY.items() if defence not in {"budgets", "deadlines"})
"""One case of each, but for those that take long; they hold where the proxy is whole."""


def _host(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda config: config["HostConfig"].update(changes)


def _unsized(config: dict[str, Any]) -> None:
    tmpfs = config["HostConfig"]["Tmpfs"]
    config["HostConfig"]["Tmpfs"] = {
        path: ",".join(part for part in options.split(",") if not part.startswith("size="))
        for path, options in tmpfs.items()
    }


def _outer_resolver(config: dict[str, Any]) -> None:
    """The canaries' name server, as the running one was told it."""
    client = docker.from_env()
    (world,) = client.containers.list(filters={"label": f"{labels.ROLE}=canary", "name": "canary-world"})
    [told] = [flag for flag in world.attrs["Args"] if flag.startswith("--dns=")]
    client.close()
    config["HostConfig"]["Dns"] = [told.removeprefix("--dns=").removesuffix(":53")]
    _engine_resolver(config)


def _engine_resolver(config: dict[str, Any]) -> None:
    """The engine's own resolver, and its file that names it."""
    config["HostConfig"].update(Mounts=[], DnsOptions=["ndots:0"])


def _without_option(start: str) -> Callable[[dict[str, Any]], None]:
    def remove(config: dict[str, Any]) -> None:
        host = config["HostConfig"]
        host["SecurityOpt"] = [option for option in host["SecurityOpt"] if not option.startswith(start)]

    return remove


SANDBOX: dict[str, tuple[Callable[[dict[str, Any]], None], tuple[str, ...]]] = {
    "read-only root": (_host(ReadonlyRootfs=False), ("L-15f",)),
    "seccomp profile": (
        _without_option("seccomp="),
        ("K-io_uring_setup", "K-socket_vsock", "K-socket_icmp_ping", "K-i386_call"),
    ),
    "no new privileges": (_without_option("no-new-privileges"), ("K-new_privileges",)),
    "capability drop": (_host(CapDrop=[]), ("K-capabilities",)),
    "core dumps": (
        _host(Ulimits=[{"Name": "nofile", "Soft": 4096, "Hard": 4096}]),
        ("K-core_dumps",),
    ),
    "processes": (_host(PidsLimit=0), ("R-01",)),
    "memory": (_host(Memory=0, MemorySwap=0), ("R-02",)),
    "tmpfs sizes": (_unsized, ("R-03a",)),
    "descriptors": (_host(Ulimits=[]), ("R-05",)),
    "resolver": (_outer_resolver, ("P-03-a-udp",)),
    "the file with the resolver": (_engine_resolver, ("L-22",)),
    "how that file is mounted": (
        lambda config: config["HostConfig"]["Mounts"][0].update(ReadOnly=False),
        ("L-15g",),
    ),
    "secrets off the record": (
        lambda config: config.update(Env=["HTTPS_PROXY=http://explain:token@10.0.0.1:8080"]),
        ("S-03",),
    ),
}
"""Part of the sandbox's configuration -> how it is taken out, and who must notice."""


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """What a sabotaged lab leaves unclosed is collected under this module's filter, not behind the last test."""
    yield
    gc.collect()


def _skip_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    async def install(self: HostGuard, *_: Any, **__: Any) -> GuardStatus:
        await self._install()
        self.status = GuardStatus(is_proved=True, detail="installed")
        return self.status

    monkeypatch.setattr(HostGuard, "establish", install)


def chosen(settings: Settings, wanted: tuple[str, ...]) -> tuple[Case, ...]:
    """The wanted cases, all of them."""
    cases = tuple(case for case in cases_for(settings, "llm-only") if case.id in wanted)
    assert {case.id for case in cases} == set(wanted)
    return cases


@dataclass(frozen=True, slots=True)
class SharedLab:
    """A lab whose proxy or sandboxes are sabotaged one after the other: daemon and canaries are whole."""

    settings: Settings
    lab: ProbeLab
    runner: asyncio.Runner
    sabotage: Sabotage

    def caught(self, wanted: tuple[str, ...], *, without: str | None = None) -> dict[str, Verdict]:
        """What the wanted cases say of a proxy without that defence, made from one sandbox of their own."""
        cases = chosen(self.settings, wanted)
        return {result.case.id: result.verdict for result in self.runner.run(self._attack(cases, without))}

    async def _attack(self, cases: tuple[Case, ...], without: str | None) -> list[Result]:
        if self.sabotage.defence != without:
            self.sabotage.defence = without
            await self._replace_proxy()
        await self.lab.canaries.reset()  # what an earlier attack reached is not this one's
        return await attack_from(self.lab, cases, isolation=Isolation.RUNC, problems=[])

    async def _replace_proxy(self) -> None:
        """The daemon makes its proxy anew, as it does for one that was killed; ready when this returns."""
        proxy = self.lab.daemon.supervisor.container
        old = (await self.lab.engine.inspect(proxy))["Id"]
        await self.lab.engine.remove(old)
        async with asyncio.timeout(120):
            # It makes a new one only once it has seen that the old one is gone, so what is ready is the new one.
            while not await self._is_another(proxy, old) or await self._failing():
                await asyncio.sleep(0.05)
        assert set(self.sabotage.environment) <= set((await self.lab.engine.inspect(proxy))["Config"]["Env"])

    async def _is_another(self, proxy: str, old: str) -> bool:
        try:
            return (await self.lab.engine.inspect(proxy))["Id"] != old
        except NotFoundError:
            return False

    async def _failing(self) -> list[str]:
        return [check.name for check in await self.lab.daemon.service.checks() if not check.is_ok]


@pytest.fixture(scope="module")
def shared_lab(settings: Settings, sabotaged_image: str) -> Iterator[SharedLab]:
    """Started once; what it leaves behind fails the last test that uses it."""
    problems: list[str] = []
    sabotage = Sabotage(sabotaged_image)
    with pytest.MonkeyPatch.context() as patch, asyncio.Runner() as runner:
        _skip_proof(patch)
        sabotage.install(patch)
        patch.setattr(runtime.daemon.daemon, "PROXY_AWAY_S", 0.0)  # one that is gone was taken away by us
        entered = probe_lab(settings, policy="llm-only", problems=problems)
        lab = runner.run(entered.__aenter__())
        try:
            yield SharedLab(settings, lab, runner, sabotage)
        finally:
            runner.run(entered.__aexit__(None, None, None))
    assert problems == []


def note(matrix: Path, defence: str, verdicts: dict[str, Verdict]) -> None:
    """A line of the matrix."""
    said = ", ".join(f"{case} {verdict.value}" for case, verdict in verdicts.items())
    with matrix.open("a") as file:
        file.write(f"{defence}: {said}\n")


def test_missing_guard_is_noticed(settings: Settings, monkeypatch: pytest.MonkeyPatch, matrix: Path):
    """Without its table the host answers, and both its own canary and the sandbox say so.

    In a lab of its own, before the one that the others share: a machine has its canaries once.
    """

    async def remove(self: HostGuard, *_: Any, **__: Any) -> GuardStatus:
        argv = ["nft", "delete", "table", "inet", TABLE]
        config = helper_config(self._image, argv, labels={}, network="host", needs_net_admin=True)
        await run_helper(self._engine, config, name="orchbox-sabotage-nft")
        self.status = GuardStatus(is_proved=True, detail="removed")
        return self.status

    monkeypatch.setattr(HostGuard, "establish", remove)

    cases = chosen(settings, ("L-01a", "L-01c"))
    report = asyncio.run(probe(settings, policy="llm-only", isolation=Isolation.RUNC, cases=cases))
    verdicts = {result.case.id: result.verdict for result in report.results}

    note(matrix, "guard", verdicts)
    assert Verdict.HELD not in verdicts.values(), verdicts
    assert not [problem for problem in report.problems if problem.startswith("left behind")]


@pytest.mark.parametrize("defence", PROXY)
def test_missing_defence_of_the_proxy_is_noticed(shared_lab: SharedLab, matrix: Path, defence: str):
    """Every case that aims at the defence stops holding."""
    verdicts = shared_lab.caught(PROXY[defence], without=defence)

    note(matrix, defence, verdicts)
    assert Verdict.HELD not in verdicts.values(), verdicts


def test_a_whole_proxy_holds_in_the_lab_of_the_sabotaged_ones(shared_lab: SharedLab):
    """Made anew behind all of them: what they let through was theirs, and not the lab's."""
    verdicts = shared_lab.caught(WHOLE)

    assert verdicts == dict.fromkeys(WHOLE, Verdict.HELD)


@pytest.mark.parametrize("defence", SANDBOX)
def test_missing_defence_of_the_sandbox_is_noticed(
    shared_lab: SharedLab, monkeypatch: pytest.MonkeyPatch, matrix: Path, defence: str
):
    """Every case that aims at this part of the configuration stops holding."""
    remove, wanted = SANDBOX[defence]
    configure = runtime.sandbox.plan.sandbox_config

    def lax(spec: Any) -> dict[str, Any]:
        config = copy.deepcopy(configure(spec))
        remove(config)
        return config

    monkeypatch.setattr(runtime.sandbox.plan, "sandbox_config", lax)

    verdicts = shared_lab.caught(wanted)

    note(matrix, defence, verdicts)
    assert Verdict.HELD not in verdicts.values(), verdicts
