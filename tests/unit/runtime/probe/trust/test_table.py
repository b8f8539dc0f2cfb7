"""The judging of what clients printed, and the attempts that are made."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from runtime.probe.trust.clients import CLIENTS, Client
from runtime.probe.trust.table import (
    AGENT,
    ENVIRONMENTS,
    Place,
    Shown,
    attempts_document,
    check_trust,
    render_table,
    rows_to_json,
    shown_refusal,
)

PLACE = Place("https://ok.test/", "https://evil.test/403", "this is ok.test")
PLACES: dict[Any, Place] = dict.fromkeys(("page", "git", "pip", "wheel", "npm", "cargo", "apt"), PLACE)
CLIENT = Client("tool", "Tool", ("tool", "{url}"), files={"conf": "at {url}"})


class Sandbox:
    """Stands for one: answers each attempt with what was set for it."""

    def __init__(self, **outputs: tuple[int | None, str]) -> None:
        self.outputs = outputs
        self.called: list[tuple[Path, dict[str, Any], str]] = []

    def __call__(self, folder: Path, document: dict[str, Any], *, image: str) -> dict[str, Any]:
        """Answer every attempt that has an answer."""
        self.called.append((folder, document, image))
        found = {
            a["id"]: self.outputs.get(a["id"].partition("/")[2].replace("/", "_"))
            for a in document["attempts"]
        }
        return {i: {"status": o[0], "output": o[1], "took_s": 0.1} for i, o in found.items() if o}


GOOD = {
    "proxy_allowed": (0, "this is ok.test"),
    "proxy_refused": (22, '{"reason_code":"not_allowed_host"}'),
    "direct_allowed": (0, "this is ok.test"),
    "direct_refused": (6, "Could not resolve host: evil.test"),
}


def test_a_client_is_called_in_both_environments_at_both_places():
    """Four attempts, each with its own address in arguments and files."""
    attempts = attempts_document(PLACES, [CLIENT])["attempts"]

    assert [(a["id"], a["proxy"], a["argv"][1], a["files"]) for a in attempts] == [
        ("tool/proxy/allowed", True, PLACE.allowed, {"conf": f"at {PLACE.allowed}"}),
        ("tool/proxy/refused", True, PLACE.refused, {"conf": f"at {PLACE.refused}"}),
        ("tool/direct/allowed", False, PLACE.allowed, {"conf": f"at {PLACE.allowed}"}),
        ("tool/direct/refused", False, PLACE.refused, {"conf": f"at {PLACE.refused}"}),
    ]


def test_rows_of_a_client_that_works_everywhere():
    """Both rows are fine, and say how the refusal shows."""
    sandbox = Sandbox(**GOOD)
    rows = check_trust(sandbox, PLACES, image="an-image", clients=[CLIENT])

    assert [(r.environment, r.is_ok, r.shown) for r in rows] == [
        ("proxy", True, Shown.REASON),
        ("direct", True, Shown.NAME),
    ]
    assert [(folder, image) for folder, _, image in sandbox.called] == [(AGENT, "an-image")]
    assert (AGENT / "main.py").is_file()


@pytest.mark.parametrize(
    ("attempt", "output"),
    [
        ("proxy_allowed", (1, "this is ok.test")),
        ("proxy_allowed", (0, "certificate verify failed")),
        ("proxy_allowed", (None, "this is ok.test")),
        ("proxy_refused", (0, "this is ok.test")),
        ("proxy_refused", (0, "this is ok.test, not_allowed_host")),
        ("proxy_refused", (7, "Connection refused")),
        ("proxy_refused", (None, "")),
        ("proxy_refused", (35, "certificate verify failed: https://evil.test/403")),
    ],
)
def test_a_row_fails(attempt: str, output: tuple[int | None, str]):
    """A failed exit, a missing marker, a time limit, a refused place that was reached or says nothing."""
    rows = check_trust(Sandbox(**{**GOOD, attempt: output}), PLACES, image="i", clients=[CLIENT])

    assert [row.is_ok for row in rows] == [False, True]
    shown = rows_to_json(rows)
    assert shown[0]["allowed_output"] == rows[0].allowed_output
    assert "allowed_output" not in shown[1]


def test_a_client_that_never_tells_is_fine_only_while_it_is_refused():
    """What is known of a client excuses its silence, not that it got through."""
    silent = dataclasses.replace(CLIENT, silent="it never says")
    outputs = {**GOOD, "proxy_refused": (1, "no versions"), "direct_refused": (0, "this is ok.test")}
    rows = check_trust(Sandbox(**outputs), PLACES, image="i", clients=[silent])

    assert [(r.shown, r.is_ok) for r in rows] == [(Shown.NOTHING, True), (Shown.REACHED, False)]
    assert rows_to_json(rows)[0]["why_silent"] == "it never says"


def test_an_attempt_that_was_not_made_is_no_success():
    """An answer that is not whole raises."""
    with pytest.raises(KeyError, match="tool/direct/allowed"):
        check_trust(
            Sandbox(**{k: v for k, v in GOOD.items() if k != "direct_allowed"}),
            PLACES,
            image="i",
            clients=[CLIENT],
        )


@pytest.mark.parametrize(
    ("output", "shown"),
    [
        ('"title":"Refused by the egress policy (not_allowed_host)"', Shown.REASON),
        ("urllib.error.HTTPError: HTTP Error 403: Forbidden", Shown.STATUS),
        (
            "fatal: unable to access 'https://evil.test/403/': The requested URL returned error: 403",
            Shown.STATUS,
        ),
        ("curl: (6) Could not resolve host: evil.test", Shown.NAME),
        ("java.net.UnknownHostException: evil.test", Shown.NAME),
        ("Error: getaddrinfo ENOTFOUND evil.test", Shown.NAME),
        ("lookup evil.test: no such host", Shown.NAME),
        ("connect to 10.4.0.3: timed out", Shown.NOTHING),
        ("took 4031 ms; https://evil.test/403 failed", Shown.NOTHING),
        ("", Shown.NOTHING),
    ],
)
def test_how_a_refusal_shows(output: str, shown: Shown):
    """The reason code counts most, a 403 of ours next, then a name that does not resolve."""
    assert shown_refusal(output, PLACE) is shown


def test_no_client_says_anything_about_trust_or_the_proxy():
    """The table proves nothing if a command brings its own certificate or proxy."""
    forbidden = (
        "proxy",
        "insecure",
        "cert",
        "verify",
        "truststore",
        "cacert",
        "cafile",
        "cainfo",
        "ssl",
        " -k",
    )
    for client in CLIENTS:
        told = " ".join((*client.argv, *client.files.values())).lower()
        assert not [word for word in forbidden if word in told], client.id


def test_ids_are_unique_and_every_url_is_used():
    """Two clients of one id would be judged by one's output; a command without the address goes nowhere."""
    assert len({client.id for client in CLIENTS}) == len(CLIENTS)
    for client in CLIENTS:
        assert "{url}" in " ".join((*client.argv, *client.files.values())), client.id


def test_the_table_has_a_line_for_each_client():
    """A person sees both environments of a client in one line."""
    rows = check_trust(Sandbox(**{**GOOD, "proxy_allowed": (1, "")}), PLACES, image="i", clients=[CLIENT])
    out = io.StringIO()
    Console(file=out, width=140).print(render_table(rows))

    line = next(line for line in out.getvalue().splitlines() if "Tool" in line)
    assert "DOES NOT WORK; refused: reason code" in line
    assert "works; refused: does not resolve" in line
    assert len(ENVIRONMENTS) == 2
