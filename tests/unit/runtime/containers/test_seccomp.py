"""The shipped profile, and every way in which one could let more in than it says."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from runtime.containers.seccomp import CONDITIONAL, NEVER_ALLOWED, PATH, profile, read_profile
from runtime.errors import NotReadyError

SHIPPED = json.loads(PATH.read_text())
NEW_NAMESPACES = 0x7E020000
FAMILIES = {1: "AF_UNIX", 2: "AF_INET", 10: "AF_INET6", 16: "AF_NETLINK", 17: "AF_PACKET"}


def rules(name: str) -> list[dict]:
    """The rules that allow a call."""
    return [r for r in SHIPPED["syscalls"] if name in r["names"] and r["action"] == "SCMP_ACT_ALLOW"]


def test_profile_is_the_file_without_its_comments():
    """The engine is given what was reviewed, in the form its API takes."""
    for rule in (stripped := copy.deepcopy(SHIPPED))["syscalls"]:
        del rule["comment"]
    assert json.loads(profile()) == stripped


def test_gvisor_is_told_enosys_in_its_own_way():
    """gVisor has EPERM only: what answers ENOSYS elsewhere is traced there, and nothing else differs."""
    plain, gvisor = json.loads(profile()), json.loads(profile(is_gvisor=True))
    changed = [(a, b) for a, b in zip(plain["syscalls"], gvisor["syscalls"], strict=True) if a != b]
    assert [(a["action"], a["errnoRet"], b["action"]) for a, b in changed] == [
        ("SCMP_ACT_ERRNO", 38, "SCMP_ACT_TRACE")
    ]
    assert "clone3" in changed[0][0]["names"]
    assert changed[0][0]["names"] == changed[0][1]["names"]
    assert {**plain, "syscalls": []} == {**gvisor, "syscalls": []}


def test_every_rule_says_why():
    """Each rule has a comment, a known action and names that no other rule without arguments repeats."""
    plain = [n for r in SHIPPED["syscalls"] if "args" not in r for n in r["names"]]
    assert len(plain) == len(set(plain))
    for rule in SHIPPED["syscalls"]:
        assert rule["comment"]
        assert rule["action"] in {"SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"}


@pytest.mark.parametrize("name", sorted(NEVER_ALLOWED))
def test_never_allowed(name: str):
    """Calls that lead out of a sandbox, or into rarely used parts of the kernel, have no rule at all."""
    assert rules(name) == []


def test_what_a_process_needs_beside_its_rights_is_conditional():
    """Calls that can make namespaces, devices or any kind of socket are allowed for some arguments only."""
    for name in CONDITIONAL:
        assert rules(name), name
        assert all(rule["args"] for rule in rules(name)), name


def test_clone_makes_no_namespace():
    """A new process or thread stays in its namespaces; clone3, whose flags no filter sees, is not there."""
    (rule,) = rules("clone")
    assert rule["args"] == [{"index": 0, "value": NEW_NAMESPACES, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]
    (refused,) = [r for r in SHIPPED["syscalls"] if "clone3" in r["names"]]
    assert (refused["action"], refused["errnoRet"]) == ("SCMP_ACT_ERRNO", 38)


def test_socket_families():
    """Local, TCP, UDP and routing sockets; the firewall's and a packet watch only with capabilities that no sandbox has."""
    seen = set()
    for rule in rules("socket"):
        compared = {arg["index"]: arg for arg in rule["args"]}
        assert compared[0]["op"] == "SCMP_CMP_EQ"
        family = FAMILIES[compared[0]["value"]]
        kind = compared[1]["valueTwo"] if 1 in compared else None
        protocol = compared[2]["value"] if 2 in compared else None
        caps = tuple(rule.get("includes", {}).get("caps", ()))
        seen.add((family, kind, protocol, caps))
    internet = {
        (family, kind, protocol, ())
        for family in ("AF_INET", "AF_INET6")
        for kind, protocols in ((1, (0, 6)), (2, (0, 17)))
        for protocol in protocols
    }
    assert seen == internet | {
        ("AF_UNIX", None, None, ()),
        ("AF_NETLINK", None, 0, ()),
        ("AF_NETLINK", None, 12, ("CAP_NET_ADMIN",)),
        ("AF_PACKET", 2, None, ("CAP_NET_RAW",)),
    }


def test_no_second_architecture():
    """32-bit and x32 calls, whose numbers a filter for another architecture would misread, are not let in."""
    assert SHIPPED["archMap"]
    assert all(entry["subArchitectures"] == [] for entry in SHIPPED["archMap"])


def broken(**change: object) -> str:
    """The shipped profile with something else in it."""
    return json.dumps({**SHIPPED, **change})


def with_rule(*names: str, action: str = "SCMP_ACT_ALLOW") -> str:
    """The shipped profile with one more rule, without conditions."""
    return broken(syscalls=[*SHIPPED["syscalls"], {"names": list(names), "action": action}])


BROKEN = {
    "is empty": ("", "is no JSON"),
    "is cut off in the middle": (PATH.read_text()[:2000], "is no JSON"),
    "is an empty object, which the engine takes for no filter": ("{}", "is no profile"),
    "is a list": ("[]", "is no profile"),
    "allows by default": (broken(defaultAction="SCMP_ACT_ALLOW"), "does not refuse by default"),
    "logs by default": (broken(defaultAction="SCMP_ACT_LOG"), "does not refuse by default"),
    "has no rules": (broken(syscalls=[]), "is cut off"),
    "has rules of another shape": (broken(syscalls=[{"name": "read"}]), "is no profile"),
    "names no architecture": (broken(archMap=[]), "second architecture"),
    "lets 32-bit calls in": (
        broken(archMap=[{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}]),
        "second architecture",
    ),
    "allows io_uring": (with_rule("io_uring_setup"), "allows io_uring_setup"),
    "allows every socket": (with_rule("socket"), "allows socket"),
    "allows every clone": (with_rule("clone"), "allows clone"),
    "only traces a call": (with_rule("mount", action="SCMP_ACT_TRACE"), "neither allow nor refuse"),
}


@pytest.mark.parametrize("defect", BROKEN)
def test_broken_profile_is_refused(tmp_path: Path, defect: str):
    """A profile that is not the allow-list we know is an error that names the file, and never a weaker filter."""
    text, said = BROKEN[defect]
    (path := tmp_path / "seccomp.json").write_text(text)
    with pytest.raises(NotReadyError, match=said) as caught:
        read_profile(path)
    assert "seccomp.json" in caught.value.message
    assert caught.value.hint


def test_missing_profile_is_refused(tmp_path: Path):
    """So is one that is not there or cannot be read."""
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(NotReadyError, match="cannot be read"):
            read_profile(path)
