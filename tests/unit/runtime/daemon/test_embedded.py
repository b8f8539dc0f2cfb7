"""What a killed command left of a daemon of its own is found by its process and removed; nothing else is."""

from __future__ import annotations

import ipaddress
import tempfile
from pathlib import Path

import pytest

from runtime.containers import labels
from runtime.containers.owner import this_process
from runtime.daemon.embedded import own_folder, own_settings, reap_dead
from runtime.daemon.settings import Settings
from runtime.engine.fake import FakeEngine
from runtime.engine.protocol import NetworkSpec

DEAD = "1:1:no-such-boot"


async def fill(engine: FakeEngine, instance: str, *, owner: str | None, with_container: bool = True) -> None:
    """A proxy with its network, and a sandbox that only the instance names."""
    marks = labels.labels(instance, "proxy", **({labels.OWNER: owner} if owner else {}))
    network = NetworkSpec(f"{instance}-egress", None, None, None, is_internal=False, labels=marks)
    await engine.create_network(network)
    if with_container:
        await engine.create(f"{instance}-proxy", {"Image": "box", "Entrypoint": ["true"], "Labels": marks})
    sandbox = {"Image": "box", "Entrypoint": ["true"], "Labels": labels.labels(instance, "sandbox")}
    await engine.create(f"{instance}-sandbox", sandbox)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the test's own for temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("with_container", [True, False], ids=["whole", "killed before its proxy"])
async def test_only_the_dead_are_reaped(temporary: Path, with_container: bool):
    """A daemon without an owner, and one whose process lives, stay with all they have."""
    engine = FakeEngine({"box": None})
    await fill(engine, "default", owner=None)
    await fill(engine, "local-aaaaaa", owner=this_process())
    await fill(engine, "local-bbbbbb", owner=DEAD, with_container=with_container)
    for name in ("aaaaaa", "bbbbbb"):
        own_folder(f"local-{name}").mkdir()

    assert await reap_dead(engine) == ["local-bbbbbb"]

    assert {name.rpartition("-")[0] for name in engine.by_name} == {"default", "local-aaaaaa"}
    assert set(engine.by_network) == {"default-egress", "local-aaaaaa-egress"}
    assert own_folder("local-aaaaaa").is_dir()
    assert not own_folder("local-bbbbbb").is_dir()


@pytest.mark.parametrize("instance", ["../x", "default", "local-zzzzzz"])
async def test_a_label_leads_to_nothing_that_is_not_an_own_daemon(temporary: Path, instance: str):
    """A name that no own daemon has removes nothing."""
    engine = FakeEngine({"box": None})
    await fill(engine, instance, owner=DEAD)

    assert await reap_dead(engine) == []
    assert len(engine.by_name) == 2


def test_own_settings_share_only_what_is_the_hosts(temporary: Path):
    """State and sockets are apart, the pool, the images and the policies the operator's."""
    settings = Settings.from_env({"HOME": "/x", "ORCHBOX_POOL": "10.9.0.0/16", "ORCHBOX_PROXY": "external"})

    own = own_settings(settings, "local")

    assert own.instance.startswith("local-")
    assert own.home.parent == own.run_dir.parent == own_folder(own.instance)
    assert own.home.is_relative_to(temporary)
    assert (own.pool, own.proxy_mode) == (ipaddress.IPv4Network("10.9.0.0/16"), "managed")
    assert own.policy_dirs == settings.policy_dirs
    assert own.instance != own_settings(settings, "local").instance
