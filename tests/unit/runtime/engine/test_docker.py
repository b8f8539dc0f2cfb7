"""Docker's errors as ours, with the engine's own words as captured. The rest is tests/contract."""

from __future__ import annotations

import inspect

import docker.errors
import pytest
import requests.exceptions

from runtime.engine.docker import SDK_ERRORS, DockerEngine, engine_info, to_orch_error
from runtime.engine.protocol import NetworkSpec
from runtime.errors import (
    ConflictError,
    EngineUnavailableError,
    InvalidInputError,
    NotFoundError,
    NotReadyError,
    OrchError,
)


def api_error(status: int, text: str) -> docker.errors.APIError:
    """What the SDK raises for an answer of the engine."""
    response = requests.Response()
    response.status_code = status
    kind = docker.errors.APIError
    if status == 404:
        kind = docker.errors.ImageNotFound if "image" in text.lower() else docker.errors.NotFound
    return kind(text, response=response, explanation=text)


CAPTURED = {
    # engine 20.10.24, runc 1.1.5
    "an image that is not here": (404, "No such image: orchbox/none:local", NotFoundError),
    "a container that is not here": (404, "No such container: x", NotFoundError),
    "a network that is not here": (404, "network x not found", NotFoundError),
    "a runtime it does not know": (400, "Unknown runtime specified runsc", InvalidInputError),
    "a command that is not there": (
        400,
        "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container "
        'process: exec: "/nope": stat /nope: no such file or directory: unknown',
        InvalidInputError,
    ),
    "a container's name that is taken": (
        409,
        'Conflict. The container name "/x" is already in use by container "e4".',
        ConflictError,
    ),
    "a network's name that is taken": (409, "network with name x already exists", ConflictError),
    "a subnet that is taken": (403, "Pool overlaps with other one on this address space", ConflictError),
    "a file that the engine's host has not": (
        400,
        'invalid mount config for type "bind": bind source path does not exist: /run/orchbox/resolv/x.conf',
        NotReadyError,
    ),
    "a bridge that is taken": (
        403,
        "cannot create network 2f (orb70): conflicts with network 68 (orb70): networks have same bridge name",
        ConflictError,
    ),
    "an endpoint that is there": (403, "endpoint with name x already exists in network n", ConflictError),
    "a signal to what does not run": (
        409,
        "Cannot kill container: x: Container e4 is not running",
        ConflictError,
    ),
    "an address outside the network": (
        500,
        "Invalid address 10.99.0.1: It does not belong to any of this network's subnets",
        OrchError,
    ),
    "a name it cannot read": (400, "no such image: A B: invalid reference format", InvalidInputError),
    # engine 28
    "a runtime that newer engines do not know": (
        400,
        "unknown or invalid runtime name: runsc",
        InvalidInputError,
    ),
    "an internal error": (500, "something broke", OrchError),
}


@pytest.mark.parametrize("case", CAPTURED)
def test_captured_answers(case: str):
    """Each answer of the engine is the one error that says what to do."""
    status, text, expected = CAPTURED[case]
    error = to_orch_error(api_error(status, text))
    assert type(error) is expected
    assert text in error.message


def test_an_engine_without_its_own_rules_has_to_be_restarted():
    """What an engine says after `nft flush ruleset` (20.10.24, captured) comes with the only remedy."""
    text = (
        "Failed to Setup IP tables: Unable to enable DROP INCOMING rule:  (iptables failed: iptables --wait "
        "-I DOCKER-ISOLATION-STAGE-1 -i orb0 ! -d 10.206.0.0/29 -j DROP: iptables: No chain/target/match by "
        "that name.\n (exit status 1))"
    )
    error = to_orch_error(api_error(500, text))
    assert "firewall rules are gone" in error.message
    assert error.hint is not None
    assert "restart Docker" in error.hint


SDK_CLASSES = [
    found
    for _, found in inspect.getmembers(docker.errors, inspect.isclass)
    if issubclass(found, Exception) and found.__module__ == docker.errors.__name__
]


@pytest.mark.parametrize("kind", SDK_CLASSES, ids=lambda kind: kind.__name__)
def test_every_error_of_the_sdk_is_mapped(kind: type[Exception]):
    """A class of the SDK that the engine would let through fails here, also a future one."""
    assert issubclass(kind, SDK_ERRORS)


@pytest.mark.parametrize(
    "error",
    [requests.exceptions.ConnectionError("refused"), requests.exceptions.ReadTimeout("60 s")],
    ids=lambda error: type(error).__name__,
)
def test_a_silent_engine_is_unavailable_and_its_words_are_not_repeated(error: Exception):
    """A dead or hanging engine is told apart from a refusing one."""
    mapped = to_orch_error(error)
    assert type(mapped) is EngineUnavailableError
    assert mapped.hint
    assert str(error) not in mapped.message


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["name=seccomp,profile=default"], False),  # engine 20.10.24 here
        (["name=apparmor", "name=seccomp,profile=builtin", "name=cgroupns"], True),
        (["name=apparmor-like"], False),
        (None, False),
    ],
)
def test_apparmor_is_read_from_the_engines_answer(options: list[str] | None, expected: bool):
    """AppArmor counts where the engine lists it by exactly that name."""
    info = engine_info({"ServerVersion": "1", "Runtimes": {"runc": {}}, "SecurityOptions": options})
    assert (info.has_apparmor, info.runtimes) == (expected, frozenset({"runc"}))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("2026-11-26T13:35:43.123456789Z", 1795700143.123456),
        ("2026-11-26T14:35:43.5+01:00", 1795700143.5),
        ("", None),
        ("yesterday", None),
    ],
)
def test_the_clock_of_the_engines_host_is_read(said: str, expected: float | None):
    """As RFC 3339 with nine digits; what is none is no clock, and no error."""
    info = engine_info({"ServerVersion": "1", "SystemTime": said, "Name": "h", "DockerRootDir": "/d"})
    assert (info.clock, info.host, info.data_root) == (expected, "h", "/d")


def test_an_address_that_is_none_is_unavailable():
    """DOCKER_HOST with nonsense is one clear error."""
    with pytest.raises(EngineUnavailableError):
        DockerEngine(base_url="nonsense://x")


class FakeApi:
    """The SDK's client as far as networks go."""

    def __init__(self, version: str) -> None:
        self.version = version
        self.created: dict = {}

    def info(self) -> dict:
        """What `GET /info` says."""
        return {"ServerVersion": self.version, "Runtimes": {}}

    def create_network(self, name: str, **options: object) -> None:
        """Remember what was asked."""
        self.created = {"name": name, **options}


GATEWAY_MODES = {
    "com.docker.network.bridge.gateway_mode_ipv4": "isolated",
    "com.docker.network.bridge.gateway_mode_ipv6": "isolated",
}


@pytest.mark.parametrize(
    ("version", "is_internal", "expected"),
    [
        ("28.0.1", True, GATEWAY_MODES),
        ("29.1.0-rc.1", True, GATEWAY_MODES),
        ("28.0.1", False, {}),
        ("27.5.1", True, {}),
        ("20.10.24+dfsg1", True, {}),
        ("dev", True, {}),
    ],
    ids=str,
)
async def test_an_internal_network_has_no_gateway_where_the_engine_can(
    monkeypatch: pytest.MonkeyPatch, version: str, is_internal: bool, expected: dict
):
    """Engine 28 takes the host off the bridge; older ones and unknown ones have the guard alone."""
    engine = DockerEngine()
    api = FakeApi(version)
    monkeypatch.setattr(engine, "_api", api)
    spec = NetworkSpec("n", "orb0", "10.1.0.0/29", "10.1.0.1", is_internal=is_internal, labels={})

    await engine.create_network(spec)

    assert api.created["options"] == {"com.docker.network.bridge.name": "orb0", **expected}
    assert api.created["internal"] is is_internal
    assert api.created["enable_ipv6"] is False


async def test_an_engine_that_is_upgraded_is_noticed(monkeypatch: pytest.MonkeyPatch):
    """The daemon lives on while the engine is replaced; what it asks before each run tells the version."""
    engine = DockerEngine()
    api = FakeApi("20.10.24+dfsg1")
    monkeypatch.setattr(engine, "_api", api)
    spec = NetworkSpec("n", "orb0", "10.1.0.0/29", "10.1.0.1", is_internal=True, labels={})
    seen = []
    for version in ("20.10.24+dfsg1", "28.0.1", "27.5.1"):
        api.version = version
        await engine.info()
        await engine.create_network(spec)
        seen.append(GATEWAY_MODES.items() <= api.created["options"].items())

    assert seen == [False, True, False]
