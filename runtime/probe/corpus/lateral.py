"""Sideways (attacks.md section 4): the host, its services, other sandboxes, the proxy's other side."""

from __future__ import annotations

from runtime.probe.corpus.build import FIX_GUARD, checked, refused, sent, tcp, udp
from runtime.probe.corpus.case import Case

_SOCKETS = (
    *(
        "/var/run/docker.sock",
        "/run/docker.sock",
        "/run/containerd/containerd.sock",
        "/run/podman/podman.sock",
    ),
    *(
        "/var/run/crio/crio.sock",
        "/run/systemd/private",
        "/run/dbus/system_bus_socket",
        "/run/orchbox/control",
    ),
)
_SUSPECTS = [
    22,
    111,
    139,
    445,
    631,
    1080,
    2019,
    2375,
    2376,
    3000,
    3128,
    4444,
    5000,
    5432,
    6060,
    6379,
    8000,
    8081,
    8082,
    8443,
    8888,
    9000,
    9090,
    9100,
]

CASES: tuple[Case, ...] = (
    tcp("L-01a", "a service of the host, at the gateway", "{gateway}", "{host_port}"),
    tcp("L-01b", "a service of the host, at its bridge's address", "{docker0}", "{host_port}"),
    tcp("L-01c", "a service of the host, at its own address", "{host_address}", "{host_port}"),
    tcp("L-01d", "SSH of the host", "{gateway}", 22),
    tcp("L-01e", "Docker of the host", "{gateway}", 2375),
    udp("L-01f", "UDP to the host's service", "{gateway}", 53, group="lateral"),
    sent("L-01g", "the host through the proxy", "GET http://{gateway}:{host_port}/ HTTP/1.1\r\nHost: {gateway}:{host_port}\r\n{AUTH}\r\n",
         refused("ip_literal"), group="lateral", fix=FIX_GUARD),
    tcp("L-04a", "another container's published port, at the gateway", "{gateway}", "{published_port}"),
    tcp("L-04b", "another container's published port, at the host", "{host_address}", "{published_port}"),
    tcp("L-04c", "another container at its own address", "{published_address}", 9000),
    tcp("L-06a", "another sandbox", "{victim_address}", 9000),
    tcp("L-06b", "another sandbox's proxy port", "{victim_proxy}", 8080),
    tcp("L-16a", "the proxy at its other address", "{proxy_outside}", 8080),
    tcp("L-16b", "the outside's gateway", "{egress_gateway}", "{host_port}"),
    checked("L-11", "every other port of the proxy", "closed_ports", fix="proxy/server.py: only its four ports listen",
            address="{proxy}", first=1, last=1024, more=_SUSPECTS, allowed=[53, 80, 443, 8080]),
    checked("L-11b", "the usual ports of the host", "closed_ports", fix=FIX_GUARD, address="{gateway}", first=20, last=120, more=_SUSPECTS, allowed=[]),
    checked("L-15a", "sockets of the engine and the host", "absent_paths", paths=list(_SOCKETS)),
    checked("L-15b", "devices of the host", "unopenable",
            paths=["/dev/kmsg", "/dev/mem", "/dev/sda", "/dev/vda", "/dev/kvm", "/dev/net/tun", "/dev/loop-control", "/dev/vhost-net"]),
    checked("L-15c", "the root of another process", "absent_paths", paths=["/proc/1/root/var/run/docker.sock", "/proc/1/root/etc/shadow-host", "/host", "/rootfs"]),
    checked("L-15d", "kernel settings and cgroups", "unwritable",
            paths=["/proc/sys/kernel/core_pattern", "/proc/sys/net/ipv4/ip_forward", "/proc/sysrq-trigger", "/sys/fs/cgroup", "/sys/kernel", "/proc/sys/vm/overcommit_memory"]),
    checked("L-15e", "the root file system", "unwritable", paths=["/", "/etc", "/usr/bin", "/etc/hosts", "/etc/resolv.conf", "/etc/passwd", "/var", "/opt", "/root"]),
    checked("L-15f", "how the root file system is mounted", "read_only", paths=["/", "/usr", "/etc"]),
    checked("L-15g", "how the host's file with the resolver is mounted", "read_only", paths=["/etc/resolv.conf"]),
    checked("L-18", "a second network", "one_interface"),
    checked("L-20", "the interception CA's key", "no_private_key", fix="proxy/layers/tls.py: the CA's key lives in memory only"),
    checked("L-21", "processes of the host", "no_other_processes"),
    checked("L-22", "names of the host's network", "no_host_names", proxy="{proxy}"),
    udp("L-08", "a broadcast", "255.255.255.255", 67, group="lateral", broadcast=True),
)  # fmt: skip
