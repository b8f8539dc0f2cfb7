"""What a dead daemon left is found by its label and removed."""

from __future__ import annotations

from runtime.containers import labels
from runtime.containers.sweep import reap, sweep
from runtime.engine.fake import FakeEngine
from runtime.engine.protocol import NetworkSpec


async def fill(engine: FakeEngine, instance: str) -> None:
    """One thing of every role."""
    for role in ("sandbox", "helper", "probe", "proxy"):
        marks = labels.labels(instance, role)
        config = {"Image": "box", "Entrypoint": ["true"], "Labels": marks}
        await engine.create(f"{instance}-{role}", config)
    for role in ("network", "proxy"):
        name, marks = f"{instance}-net-{role}", labels.labels(instance, role)
        await engine.create_network(NetworkSpec(name, None, None, None, is_internal=True, labels=marks))


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

    assert await sweep(engine, "a", with_proxy=True) == 6
    assert await left(engine, "a") == set()
    assert await left(engine, "b") == others


async def test_proxy_of_compose_stays():
    """A proxy that somebody else keeps is not removed."""
    engine = FakeEngine({"box": None})
    await fill(engine, "a")

    await sweep(engine, "a", with_proxy=False)

    assert await left(engine, "a") == {"a-proxy", "a-net-proxy"}


async def test_what_a_run_has_is_spared_while_it_lives():
    """Sandboxes and networks of other runs go, and of no run; the proxy stays."""
    engine = FakeEngine({"box": None})
    await fill(engine, "a")
    for run in ("lives", "ended"):
        marks = labels.labels("a", "sandbox", **{labels.RUN: run})
        await engine.create(run, {"Image": "box", "Entrypoint": ["true"], "Labels": marks})
        marks = labels.labels("a", "network", **{labels.RUN: run})
        spec = NetworkSpec(f"net-{run}", None, None, None, is_internal=True, labels=marks)
        await engine.create_network(spec)

    assert await reap(engine, "a", spare={"lives"}) == 6
    assert await left(engine, "a") == {"lives", "net-lives", "a-proxy", "a-net-proxy"}
