"""An exact request: the heads that a URL becomes, and what is none."""

from __future__ import annotations

import pytest

from runtime.errors import InvalidInputError
from runtime.explain.asked import read_request, shown_url
from runtime.explain.fields import Fields


def test_an_https_url_becomes_a_tunnel_and_a_request_in_it() -> None:
    """As a client writes them: the port always in the one, as it is in the other."""
    asked = read_request("POST", "https://Api.test/v1/x?y=1#z", [("X-A", " 1 ")], b"{}")

    assert asked.tunnel_head == b"CONNECT Api.test:443 HTTP/1.1\r\nHost: Api.test:443\r\n\r\n"
    assert asked.request_head == (
        b"POST /v1/x?y=1 HTTP/1.1\r\nHost: Api.test\r\nX-A: 1\r\nContent-Length: 2\r\n\r\n"
    )


def test_an_http_url_becomes_one_request_in_absolute_form() -> None:
    """A Host header and a framing that are given are not written twice."""
    given = [("host", "b.test"), ("Transfer-Encoding", "chunked")]
    asked = read_request("GET", "HTTP://a.test:81", given, b"x")

    assert asked.request_head == (
        b"GET http://a.test:81/ HTTP/1.1\r\nhost: b.test\r\nTransfer-Encoding: chunked\r\n\r\n"
    )


@pytest.mark.parametrize("authority", ["a.test:1", "[::1]:1", "a.test:", "a:b@c"])
def test_an_authority_with_a_port_is_left_as_it_is(authority: str) -> None:
    """Also one that is malformed: it is the proxy that judges it."""
    assert read_request("GET", f"https://{authority}/").tunnel_authority == authority


@pytest.mark.parametrize(
    "url",
    [
        "ftp://api.test/",
        "api.test",
        "https:///x",
        "https://[::1",
        "https://a b/",
        "https://a.test\n/",
        "https://\u00e4.test/",
        "",
    ],
)
def test_what_is_no_url_is_an_input_error(url: str) -> None:
    """A typing error is told apart from a refusal."""
    with pytest.raises(InvalidInputError):
        read_request("GET", url)


@pytest.mark.parametrize("value", ["a\r\nb: c", "a\nb", "a\0", "\ud800"])
def test_a_header_is_one_line(value: str) -> None:
    """Two in one would be another request than the one that was asked about; the text repeats neither."""
    with pytest.raises(InvalidInputError) as failure:
        read_request("GET", "https://a.test/", [("x", value)])
    assert value not in failure.value.message


def test_a_url_is_shown_without_what_may_be_a_secret() -> None:
    """Query and userinfo are the places for keys in a URL."""
    asked = read_request("GET", "https://user:pass@a.test/x?key=1")

    assert shown_url(asked) == "https://a.test/x?..."
    assert "pass" not in repr(asked)


def test_fields_are_those_of_http() -> None:
    """Names have no case, equal ones are joined, and removing one removes all of it."""
    fields = Fields([(b"A", b"1"), (b"b", b"2"), (b"a", b"3")])
    assert (fields["a"], len(fields), sorted(fields)) == ("1, 3", 2, ["a", "b"])
    fields["B"] = "4"
    del fields["A"]
    assert fields.pairs() == (("B", "4"),)
    with pytest.raises(KeyError):
        del fields["A"]
