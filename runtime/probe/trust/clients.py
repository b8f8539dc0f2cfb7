"""The clients that `orch probe --trust` tries: data. Adding one is one entry (and a row in docs/clients.md).

`{url}` in an argument or a file is the place's address. No command may say anything about a proxy or about
trust: that everything works without is what is proved. What a command does say is where its packages are,
that one failure is enough (no retries), and, for apt, where somebody who is not root keeps its state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

PlaceKind = Literal["page", "git", "pip", "wheel", "npm", "cargo", "apt"]


@dataclass(frozen=True, slots=True)
class Client:
    """One client program, and how somebody who knows nothing of the sandbox calls it."""

    id: str
    title: str
    argv: tuple[str, ...]
    place: PlaceKind = "page"
    files: Mapping[str, str] = field(default_factory=dict)
    """Name -> content, in the folder in which it is called, which is its home too."""
    silent: str = ""
    """Why its output says nothing of a refusal, where that is so, and what its user must do."""


def _shell(script: str) -> tuple[str, ...]:
    return ("sh", "-ec", script, "sh", "{url}")


def _python(code: str) -> tuple[str, ...]:
    return ("python3", "-c", code, "{url}")


_AIOHTTP = """
import aiohttp, asyncio, sys
async def main():
    async with aiohttp.ClientSession() as session, session.get(sys.argv[1]) as answer:
        print(answer.status, await answer.text())
asyncio.run(main())
"""
_NODE_HTTPS = """
require('https').get(process.argv[1], (answer) => {
  console.log(answer.statusCode)
  answer.pipe(process.stdout)
})
"""
_RUBY = "answer = Net::HTTP.get_response(URI(ARGV[0])); puts answer.code, answer.body"
_PHP_CURL = """
$curl = curl_init($argv[1]);
if (curl_exec($curl) === false) { echo curl_error($curl); }
"""
_CARGO_MANIFEST = """
[package]
name = "caller"
version = "0.1.0"
edition = "2021"
[dependencies]
orchdemo = { version = "1", registry = "mirror" }
"""
_CARGO_CONFIG = """
[registries.mirror]
index = "sparse+{url}"
[net]
retry = 0
"""
_APT_CONFIG = """
Dir::State "state";
Dir::State::status "status";
Dir::Cache "cache";
Dir::Etc::sourcelist "sources.list";
Dir::Etc::sourceparts "-";
Acquire::Retries "0";
"""
_APT = """
export APT_CONFIG="$PWD/apt.conf"
sed -i "s|\\"\\([a-z]\\)|\\"$PWD/\\1|" apt.conf
mkdir -p state/lists/partial cache/archives/partial
touch status
apt-get -q update --error-on=any
apt-get -q download orchdemo
dpkg-deb --field orchdemo_*.deb Description
"""

CLIENTS = (
    Client("curl", "curl", ("curl", "-sS", "{url}")),
    Client("wget", "wget", ("wget", "-nv", "-O", "-", "{url}")),
    Client("git", "git clone", _shell('git clone -q "$1" demo; cat demo/README.md'), "git"),
    Client(
        "urllib",
        "Python urllib",
        _python("import sys, urllib.request as u; print(u.urlopen(sys.argv[1]).read().decode())"),
    ),
    Client(
        "requests",
        "Python requests",
        _python("import requests, sys; print(requests.get(sys.argv[1]).text)"),
    ),
    Client("httpx", "Python httpx", _python("import httpx, sys; print(httpx.get(sys.argv[1]).text)")),
    Client("aiohttp", "Python aiohttp", _python(_AIOHTTP)),
    Client(
        "node-fetch",
        "Node fetch",
        ("node", "-e", "fetch(process.argv[1]).then(async (a) => console.log(await a.text()))", "{url}"),
    ),
    Client("node-https", "Node https module", ("node", "-e", _NODE_HTTPS, "{url}")),
    Client("undici", "Node undici", ("node", "/opt/orchbox/trust/undici.cjs", "{url}")),
    Client("go", "Go net/http", ("/opt/orchbox/trust/fetch-go", "{url}")),
    Client(
        "java-client", "Java HttpClient", ("java", "-cp", "/opt/orchbox/trust", "Fetch", "client", "{url}")
    ),
    Client(
        "java-connection",
        "Java HttpURLConnection",
        ("java", "-cp", "/opt/orchbox/trust", "Fetch", "connection", "{url}"),
    ),
    Client("ruby", "Ruby Net::HTTP", ("ruby", "-r", "net/http", "-e", _RUBY, "{url}")),
    Client("php-curl", "PHP curl", ("php", "-r", _PHP_CURL, "{url}")),
    Client(
        "php-streams", "PHP file_get_contents", ("php", "-r", "echo file_get_contents($argv[1]);", "{url}")
    ),
    Client(
        "cargo",
        "cargo",
        _shell("cargo fetch -q; grep -rh MESSAGE .cargo/registry/src"),
        "cargo",
        {"Cargo.toml": _CARGO_MANIFEST, ".cargo/config.toml": _CARGO_CONFIG, "src/lib.rs": ""},
    ),
    Client(
        "pip",
        "pip, from an index",
        _shell('pip install --retries 0 --target . --index-url "$1" orchdemo; cat orchdemo.py'),
        "pip",
        silent="pip tells of an index's 403 only with -v: without, the index has no versions",
    ),
    Client(
        "pip-url",
        "pip, by address",
        _shell('pip install --retries 0 --target . "$1"; cat orchdemo.py'),
        "wheel",
    ),
    Client(
        "uv",
        "uv",
        _shell('UV_HTTP_RETRIES=0 uv pip install --target . --index-url "$1" orchdemo; cat orchdemo.py'),
        "pip",
    ),
    Client(
        "npm",
        "npm",
        _shell('npm install --fetch-retries 0 --registry "$1" orchdemo; cat node_modules/orchdemo/index.js'),
        "npm",
    ),
    Client(
        "apt",
        "apt",
        _shell(_APT),
        "apt",
        {"apt.conf": _APT_CONFIG, "sources.list": "deb [trusted=yes] {url} /\n"},
    ),
)
