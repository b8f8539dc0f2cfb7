"""runtime.canary.net.container: a canary has our restrictions, and one right at most."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runtime.canary.client import CanaryError
from runtime.canary.net.container import canary_config, start_canary
from runtime.containers.restrictions import security_options


def _config(**more: Any) -> dict[str, Any]:
    return canary_config("image", ["--x"], labels={"a": "b"}, folder=Path("/f"), network="none", **more)


@pytest.mark.parametrize(("is_watching", "rights"), [(False, []), (True, ["NET_RAW"])])
def test_a_canary_is_restricted_as_every_container(is_watching: bool, rights: list[str]) -> None:
    """Our seccomp profile, no new privileges, no capability but the packet watch's, a read-only root."""
    host = _config(is_watching=is_watching)["HostConfig"]
    assert host["SecurityOpt"] == security_options()
    assert (host["CapDrop"], host["CapAdd"], host["ReadonlyRootfs"]) == (["ALL"], rights, True)


def test_only_the_packet_watch_is_root() -> None:
    """What needs no capability runs as nobody."""
    assert [_config(is_watching=watching)["User"] for watching in (False, True)] == ["65534:65534", "0:0"]


def test_a_published_port_is_the_engines_choice() -> None:
    """The host's port is free by the engine's word."""
    config = _config(port=9000)
    assert config["HostConfig"]["PortBindings"] == {"9000/tcp": [{"HostPort": ""}]}
    assert config["ExposedPorts"] == {"9000/tcp": {}}


class _Ended:
    """An engine whose container ends as soon as it is started."""

    async def create(self, name: str, config: dict[str, Any]) -> str:
        return name

    async def start(self, container: str) -> None:
        """Nothing."""

    async def inspect(self, container: str) -> dict[str, Any]:
        return {"State": {"Running": False, "ExitCode": 3}}


async def test_a_canary_that_ends_at_once_is_an_error(tmp_path: Path) -> None:
    """The reason is said at once, and nobody waits for it to listen."""
    engine: Any = _Ended()
    with pytest.raises(CanaryError, match="exit status 3"):
        await start_canary(engine, "name", _config(), folder=tmp_path / "world")
