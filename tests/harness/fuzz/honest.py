"""`python -m tests.harness.fuzz.honest ADDRESS`: the witness's upstream, a process that does nothing else.

stdout  {"at": address} as soon as it listens; it serves until stdin ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys

from tests.harness.fuzz.place import HONEST_PORT

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nhonest\n"


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The same answer to every request; they have no body."""
    with contextlib.suppress(OSError, EOFError):
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(ANSWER)
    writer.close()


async def main() -> None:
    """Listen and say so."""
    await asyncio.start_server(serve, sys.argv[1], HONEST_PORT)
    sys.stdout.write(json.dumps({"at": sys.argv[1]}) + "\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
