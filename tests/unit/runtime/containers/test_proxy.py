"""runtime.containers.proxy: the proxy's container is as tight as a sandbox, and sees one folder of the host."""

from __future__ import annotations

from runtime.containers.proxy import ProxySpec, proxy_config
from runtime.containers.seccomp import profile


def proxy() -> dict:
    """The proxy's configuration."""
    spec = ProxySpec(
        "p", "egress", "/run/orchbox/control", 10001, ("10.0.0.53",), {"io.orchbox.role": "proxy"}
    )
    return proxy_config(spec)


def test_proxy_is_as_tight():
    """The proxy is no way up either: read-only, no capability, not root, no swap, no cores, no forwarding."""
    config = proxy()
    host = config["HostConfig"]
    assert config["User"] == "10001:10001"
    assert (host["ReadonlyRootfs"], host["CapDrop"]) == (True, ["ALL"])
    assert host["SecurityOpt"] == ["no-new-privileges:true", f"seccomp={profile()}"]
    assert host["Memory"] == host["MemorySwap"]
    assert {"Name": "core", "Soft": 0, "Hard": 0} in host["Ulimits"]
    assert host["Sysctls"]["net.ipv4.ip_forward"] == "0"


def test_proxy_sees_one_folder_of_the_host():
    """The control socket's folder is all the proxy mounts, and its environment holds no secret."""
    config = proxy()
    assert config["HostConfig"]["Binds"] == ["/run/orchbox/control:/run/orchbox/control:rw"]
    assert config["Env"] == ["ORCHBOX_CONTROL_SOCKET=/run/orchbox/control/proxy.sock"]
    assert config["HostConfig"]["Dns"] == ["10.0.0.53"]
