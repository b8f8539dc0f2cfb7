"""What a dead daemon left is found by its label and removed."""

from __future__ import annotations

import pytest

from runtime.containers import labels
from runtime.containers.sweep import reap, sweep
from runtime.engine.fake import FakeEngine
from runtime.engine.protocol import NetworkSpec

OURS = {labels.INSTALLATION: "ours"}


async def fill(engine: FakeEngine, instance: str, name: str = "", installation: str = "ours") -> None:
    """One thing of every role, named after the instance or `name`."""
    own, name = {labels.INSTALLATION: installation}, name or instance
    for role in ("sandbox", "helper", "probe", "proxy"):
        marks = labels.labels(instance, role, **own)
        config = {"Image": "box", "Entrypoint": ["true"], "Labels": marks}
        await engine.create(f"{name}-{role}", config)
    for role in ("network", "proxy"):
        net, marks = f"{name}-net-{role}", labels.labels(instance, role, **own)
        await engine.create_network(NetworkSpec(net, None, None, None, is_internal=True, labels=marks))


async def left(engine: FakeEngine, instance: str) -> set[str]:
    """Names of what is there."""
    label = {labels.INSTANCE: instance}
    return {found.name for found in (*await engine.containers(label), *await engine.networks(label))}


async def test_everything_of_the_instance_goes():
    """All roles of this instance, nothing of another."""
    engine = FakeEngine({"box": None})
    await fill(engine, "a")
    await fill(engine, "b")
    others = await left(engine, "b")

    assert await sweep(engine, "a", installation="ours", with_proxy=True) == 6
    assert await left(engine, "a") == set()
    assert await left(engine, "b") == others


async def test_proxy_of_compose_stays():
    """A proxy that somebody else keeps is not removed."""
    engine = FakeEngine({"box": None})
    await fill(engine, "a")

    await sweep(engine, "a", installation="ours", with_proxy=False)

    assert await left(engine, "a") == {"a-proxy", "a-net-proxy"}


async def test_what_a_run_has_is_spared_while_it_lives():
    """Sandboxes and networks of other runs go, and of no run; the proxy stays."""
    engine = FakeEngine({"box": None})
    await fill(engine, "a")
    for run in ("lives", "ended"):
        marks = labels.labels("a", "sandbox", **OURS, **{labels.RUN: run})
        await engine.create(run, {"Image": "box", "Entrypoint": ["true"], "Labels": marks})
        marks = labels.labels("a", "network", **OURS, **{labels.RUN: run})
        spec = NetworkSpec(f"net-{run}", None, None, None, is_internal=True, labels=marks)
        await engine.create_network(spec)

    assert await reap(engine, "a", installation="ours", spare={"lives"}) == 6
    assert await left(engine, "a") == {"lives", "net-lives", "a-proxy", "a-net-proxy"}


@pytest.mark.parametrize("ours", ["ours", "", "io.orchbox.installation"])
async def test_another_installations_things_stay(ours: str):
    """Whatever the instance is called: neither the reaping nor the sweep takes what is not ours."""
    engine = FakeEngine({"box": None})
    await fill(engine, "a", "theirs", installation="theirs")
    await fill(engine, "a", "old", installation="")
    before = await left(engine, "a")

    await reap(engine, "a", installation=ours or "nothing", spare=())
    await sweep(engine, "a", installation=ours or "nothing", with_proxy=True)

    assert await left(engine, "a") == before


async def test_an_instance_of_ones_own_goes_whole():
    """A name that nobody else has (a probe's) is removed whatever installation its things name."""
    engine = FakeEngine({"box": None})
    await fill(engine, "probe-aaaaaa", installation="somebody")

    assert await sweep(engine, "probe-aaaaaa", installation=None, with_proxy=True) == 6
