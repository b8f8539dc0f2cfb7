"""compose.yaml says the same as runtime/containers/restrictions.py, and gives away nothing more."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any

import pytest
import yaml

from runtime.containers.proxy import ProxySpec, proxy_config
from runtime.daemon.settings import DEFAULT_POOL
from runtime.network.slots import slot_count

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """The services of compose.yaml."""
    return yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]


def test_no_port_is_published(services: dict[str, Any]) -> None:
    """Nothing listens on the host, and nothing runs privileged."""
    for service in services.values():
        assert not {"ports", "privileged", "pid", "devices"} & service.keys()
        assert service.get("network_mode") != "host"


def test_only_the_daemon_has_the_docker_socket(services: dict[str, Any]) -> None:
    """The proxy never sees the engine."""
    holders = [n for n, s in services.items() if any("docker.sock" in volume for volume in s["volumes"])]
    assert holders == ["daemon"]


def test_every_service_is_hardened(services: dict[str, Any]) -> None:
    """Read-only root, no capability but the one that is explained, no new privileges, our seccomp profile, a health check."""
    for service in services.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == [
            "no-new-privileges:true",
            "seccomp=runtime/containers/seccomp.json",
        ]
        assert service["healthcheck"]["test"][0] == "CMD"
    assert "cap_add" not in services["proxy"]
    assert services["daemon"]["cap_add"] == ["DAC_OVERRIDE"]


def test_proxy_is_what_the_daemon_would_start(services: dict[str, Any]) -> None:
    """Limits, sysctls and tmpfs of the proxy are those of the managed proxy."""
    spec = ProxySpec(
        image="x",
        network="n",
        control_dir="/c",
        uid=10001,
        dns=(),
        labels={},
        slots=slot_count(ipaddress.IPv4Network(DEFAULT_POOL)),
        host_memory_bytes=8 << 30,
    )
    config = proxy_config(spec)["HostConfig"]
    proxy = services["proxy"]

    assert config["Sysctls"] == proxy["sysctls"]
    assert [f"{path}:{options}" for path, options in config["Tmpfs"].items()] == proxy["tmpfs"]
    assert config["PidsLimit"] == proxy["pids_limit"]
    assert proxy["mem_limit"] == proxy["memswap_limit"] == "${ORCHBOX_PROXY_MEMORY:-4g}"
    assert config["Memory"] == 4 << 30
    assert {u["Name"]: u["Hard"] for u in config["Ulimits"]} == proxy["ulimits"]
    assert (config["Init"], config["IpcMode"]) == (proxy["init"], proxy["ipc"])


def test_images_are_never_fetched_by_accident(services: dict[str, Any]) -> None:
    """A missing image is an error, not somebody else's image of that name."""
    assert {"${ORCHBOX_PULL:-never}"} == {service["pull_policy"] for service in services.values()}
