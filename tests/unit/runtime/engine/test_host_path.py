"""runtime.engine.host_path: a daemon in a container finds what it sees on the engine's host, or says that it cannot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runtime.engine.fake import FakeEngine
from runtime.engine.host_path import host_folder, own_ids
from runtime.errors import EngineUnavailableError, NotFoundError, NotReadyError

ID = "3f" * 32
MOUNT_INFO = f"""\
2146 2140 0:98 / / ro,relatime master:617 - overlay overlay rw,lowerdir=/var/lib/docker/overlay2/l/A
2156 2146 0:22 /orchbox /run/orchbox rw,nosuid,nodev master:5 - tmpfs tmpfs rw,size=2463152k,mode=755
2157 2146 254:0 /var/lib/docker/containers/{ID}/resolv.conf /etc/resolv.conf ro,relatime - ext4 /dev/vda rw
2158 2146 254:0 /var/lib/docker/containers/{ID}/hostname /etc/hostname ro,relatime - ext4 /dev/vda rw
2159 2146 254:0 /var/lib/docker/containers/{ID}/hosts /etc/hosts ro,relatime - ext4 /dev/vda rw
"""
"""Of a container of engine 20.10.24 with the run directory bound into it (shortened)."""
ON_A_HOST = "22 28 0:21 / /proc rw,nosuid - proc proc rw\n28 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"


class Engine(FakeEngine):
    """An engine that has one container: this process's, or none."""

    def __init__(self, record: dict[str, Any] | None) -> None:
        super().__init__({})
        self.record = record
        self.asked: list[str] = []

    async def inspect(self, container: str) -> dict[str, Any]:
        """Its record, by its id or its name."""
        await self._enter("inspect", container)
        self.asked.append(container)
        if self.record is None:
            raise NotFoundError("No such container")
        return self.record


def record(*mounts: tuple[str, str, str], own_id: str = ID) -> dict[str, Any]:
    """What the engine says of this container; each mount is its type, source and destination."""
    found = [{"Type": kind, "Source": source, "Destination": to} for kind, source, to in mounts]
    return {"Id": own_id, "Mounts": found}


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In a container of engine 20.10; the run directory as this process sees it."""
    (tmp_path / "mountinfo").write_text(MOUNT_INFO)
    monkeypatch.setattr("runtime.engine.host_path._MOUNT_INFO", tmp_path / "mountinfo")
    run_dir = tmp_path / "run" / "orchbox"
    run_dir.mkdir(parents=True)
    return run_dir


def test_a_container_knows_itself_by_the_engine_s_files_then_by_its_host_name():
    """Both forms, the surest first; a host's own mounts and name tell nothing."""
    podman = MOUNT_INFO.replace(f"/{ID}/", f"/overlay-containers/{ID}/userdata/")
    assert own_ids(MOUNT_INFO, "0123456789ab") == [ID, "0123456789ab"]
    assert own_ids(podman, "daemon") == [ID]
    assert own_ids(ON_A_HOST, "0123456789ab") == ["0123456789ab"]
    assert own_ids(ON_A_HOST, "worker-7") == []
    assert own_ids("\n", "0123456789abc") == []


async def test_on_the_host_a_path_is_the_host_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Nothing to ask, and nothing to translate."""
    (tmp_path / "mountinfo").write_text(ON_A_HOST)
    monkeypatch.setattr("runtime.engine.host_path._MOUNT_INFO", tmp_path / "mountinfo")
    monkeypatch.setattr("socket.gethostname", lambda: "worker-7")
    engine = Engine(record(("bind", "/elsewhere", str(tmp_path))))

    assert await host_folder(engine, tmp_path / "resolv") == tmp_path / "resolv"
    assert engine.asked == []


async def test_a_container_of_another_engine_has_the_host_s_paths(inside: Path):
    """Its engine does not know it: whether the path is right is seen when something is mounted."""
    assert await host_folder(Engine(None), inside / "resolv") == inside / "resolv"


@pytest.mark.parametrize("kind", ["bind", "volume"])
async def test_a_folder_below_a_mount_is_where_that_comes_from(inside: Path, kind: str):
    """A folder of the host's, or a volume; the innermost mount counts."""
    mounts = [
        (kind, "/srv/orchbox run", str(inside)),
        ("bind", "/etc/orchbox", "/etc/orchbox"),
        ("bind", "/srv", str(inside.parent)),
        ("volume", "/var/lib/docker/volumes/control/_data", str(inside / "control")),
    ]
    found = await host_folder(Engine(record(*mounts)), inside / "resolv")

    assert found == Path("/srv/orchbox run/resolv")
    control = await host_folder(Engine(record(*mounts)), inside / "control")
    assert control == Path("/var/lib/docker/volumes/control/_data")


@pytest.mark.parametrize(
    "mounts",
    [(), (("bind", "/srv", "/srv"),), (("tmpfs", "", "{run}"),), (("bind", "/x", "{run}-other"),)],
    ids=["none", "another", "memory", "a longer name"],
)
async def test_a_folder_that_only_the_container_has_is_refused(
    inside: Path, mounts: tuple[tuple[str, str, str], ...]
):
    """Closed: the engine would find nothing there, or something else. The error says what to mount."""
    here = [(kind, source, to.replace("{run}", str(inside))) for kind, source, to in mounts]

    with pytest.raises(NotReadyError, match="own container only") as refused:
        await host_folder(Engine(record(*here)), inside / "resolv")
    assert "ORCHBOX_RUN_DIR" in (refused.value.hint or "")


async def test_links_are_followed_before_a_path_is_compared(inside: Path):
    """A run directory may be named through a link, as /var/run is."""
    (inside.parent / "link").symlink_to(inside)
    engine = Engine(record(("bind", "/srv/run", str(inside))))

    assert await host_folder(engine, inside.parent / "link" / "resolv") == Path("/srv/run/resolv")


async def test_a_container_that_is_only_called_so_is_not_us(
    inside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A host name of twelve hexadecimal digits may be somebody's container's name."""
    (tmp_path / "mountinfo").write_text(ON_A_HOST)
    monkeypatch.setattr("socket.gethostname", lambda: "0123456789ab")
    engine = Engine(record(("bind", "/elsewhere", str(inside))))

    assert await host_folder(engine, inside) == inside
    assert engine.asked == ["0123456789ab"]


async def test_an_engine_that_is_away_is_no_answer(inside: Path):
    """What is not known is not guessed."""
    engine = Engine(None)
    engine.is_down = True

    with pytest.raises(EngineUnavailableError):
        await host_folder(engine, inside)
