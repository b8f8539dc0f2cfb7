"""`python -m proxy --check`: healthy means listening and steerable."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.__main__ import _check

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
LISTENING = HEAD + "   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 10001 0 1 1\n"
CONNECTED = HEAD + "   0: 0100007F:1F90 0100007F:AAAA 01 00000000:00000000 00:00000000 00000000 10001 0 1 1\n"


@pytest.mark.parametrize(
    ("table", "has_socket", "status"),
    [(LISTENING, True, 0), (LISTENING, False, 1), (CONNECTED, True, 1), (HEAD, True, 1)],
    ids=["listening", "no control socket", "only a connection", "nothing"],
)
def test_check(tmp_path: Path, table: str, has_socket: bool, status: int):
    """The health check connects to nothing, so it leaves no line in the audit."""
    (tmp_path / "tcp").write_text(table)
    if has_socket:
        (tmp_path / "proxy.sock").touch()

    assert _check(tmp_path / "proxy.sock", tmp_path / "tcp") == status
