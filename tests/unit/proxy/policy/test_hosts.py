"""Names: one spelling each, and everything that could be read in two ways refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.hosts import BadHostError, HostPattern, is_ip_literal, normalize_host, split_authority

ACCEPTED = {
    "a plain name": ("ok.test", "ok.test"),
    "capitals are folded (N-01)": ("OK.Test", "ok.test"),
    "one final dot is dropped (N-02)": ("ok.test.", "ok.test"),
    "bytes are read as ASCII": (b"ok.test", "ok.test"),
    "a single label": ("localhost", "localhost"),
    "underscores, as in service names": ("_dmarc.ok.test", "_dmarc.ok.test"),
    "a label that begins with a digit": ("3com.test", "3com.test"),
    "numbers before a name": ("1.2.3.4.wild.test", "1.2.3.4.wild.test"),
    "a last label that only begins like a number": ("ok.0xyz", "ok.0xyz"),
    "a label of 63 characters": ("a" * 63 + ".test", "a" * 63 + ".test"),
    "a name of 253 characters": (
        ".".join(["a" * 63] * 3 + ["a" * 61]),
        ".".join(["a" * 63] * 3 + ["a" * 61]),
    ),
    "a homoglyph in its A-label form is another name (N-21)": ("xn--k-xtb.test", "xn--k-xtb.test"),
    "a dotted IPv4 address": ("192.0.2.1", "192.0.2.1"),
    "IPv6 in brackets": ("[2001:db8::1]", "2001:db8::1"),
    "IPv6 without brackets": ("2001:db8::1", "2001:db8::1"),
    "IPv6 in capitals and padded (A-07)": ("[2001:0DB8::0001]", "2001:db8::1"),
    "IPv6 that holds IPv4 has one spelling in every Python": ("::ffff:127.0.0.1", "::ffff:7f00:1"),
}


@pytest.mark.parametrize(("raw", "host"), ACCEPTED.values(), ids=ACCEPTED.keys())
def test_a_name_has_one_spelling(raw: str | bytes, host: str) -> None:
    """What is accepted comes out lower-case, without a final dot or brackets."""
    assert host == normalize_host(raw)


ASCII = "a character that is not ASCII (a name in another script is written as xn--...)"
CONTROL = "a control character or a space"
LABEL = "a label that is empty, too long or has a character outside a-z, 0-9, - and _"
COLON = "a colon or bracket outside an IPv6 address"
NUMERIC = "a numeric name that is not a dotted IPv4 address"
SPELLING = "an IPv4 address in another spelling than its dotted one"
PUNYCODE = "an xn-- label that is no punycode"
EMPTY = "an empty name"

REFUSED = {
    "two final dots (N-04)": ("ok.test..", LABEL),
    "a leading dot (N-04)": (".ok.test", LABEL),
    "an empty label (N-04)": ("ok..test", LABEL),
    "a lone dot": (".", EMPTY),
    "a name in brackets (N-05)": ("[ok.test]", COLON),
    "a name in two brackets (N-05)": ("[[ok.test]]", COLON),
    "an IPv4 address in brackets": ("[192.0.2.1]", COLON),
    "a bracket that is not closed": ("[::1", COLON),
    "a bracket that is not opened": ("::1]", COLON),
    "userinfo (N-08)": ("ok.test@evil.test", LABEL),
    "userinfo with a port (N-08)": ("ok.test:80@evil.test", COLON),
    "a backslash (N-09)": ("evil.test\\@ok.test", LABEL),
    "a fragment (N-09)": ("ok.test#@evil.test", LABEL),
    "a query (N-09)": ("ok.test?@evil.test", LABEL),
    "a semicolon (N-09)": ("ok.test;.evil.test", LABEL),
    "a slash": ("ok.test/", LABEL),
    "a port (N-10)": ("ok.test:443", COLON),
    "a colon alone (N-10)": ("ok.test:", COLON),
    "full-width digits (N-10)": ("ok.test\uff14\uff14\uff13", ASCII),
    "NUL, which getaddrinfo stops at (N-12)": ("evil.test\0.ok.test", CONTROL),
    "NUL in bytes (N-12)": (b"evil.test\0.ok.test", CONTROL),
    "an escaped NUL (N-12)": ("evil.test%00.ok.test", LABEL),
    "carriage return (N-14)": ("ok.test\r", CONTROL),
    "line feed (N-15)": ("ok.test\n", CONTROL),
    "line feed inside (N-45)": ("evil.test\n.ok.test", CONTROL),
    "a tab (N-14)": ("ok\t.test", CONTROL),
    "a vertical tab (N-14)": ("ok\x0b.test", CONTROL),
    "a space (N-14)": (" ok.test", CONTROL),
    "DEL (N-14)": ("ok.test\x7f", CONTROL),
    "an escaped dot (N-14)": ("ok%2etest", LABEL),
    "an escaped slash (N-14)": ("evil.test%2f.ok.test", LABEL),
    "nothing (N-16)": ("", EMPTY),
    "a label of 64 characters (N-17)": ("a" * 64 + ".test", LABEL),
    "a name of 254 characters (N-17)": (
        ".".join(["a" * 63] * 3 + ["a" * 62]),
        "a name longer than 253 characters",
    ),
    "a name of 100 kB (N-17)": ("a." * 50_000 + "test", "a name longer than 253 characters"),
    "an ideographic full stop (N-18)": ("api\u3002ok\u3002test", ASCII),
    "full-width letters (N-18)": ("\uff4f\uff4b.test", ASCII),
    "a circled letter (N-18)": ("ⓞk.test", ASCII),
    "a zero-width space (N-18)": ("ok.test\u200b", ASCII),
    "a soft hyphen (N-18)": ("ok\u00ad.test", ASCII),
    "a full-width solidus (N-19)": ("evil.test\uff0f.ok.test", ASCII),
    "account of (N-19)": ("evil.test\u2100.ok.test", ASCII),
    "a one-dot leader (N-20)": ("ok.test\u2024evil.test", ASCII),
    "bytes above ASCII": (b"ok\xff.test", ASCII),
    "a lone surrogate": ("ok\udc80.test", ASCII),
    "punycode that decodes to nothing (N-22)": ("xn--999999999.test", PUNYCODE),
    "punycode that hides an ASCII name (N-22)": ("xn--ok-.test", LABEL),
    "punycode of ASCII letters only (N-22)": ("xn--ok--.test", LABEL),
    "punycode with no text (N-22)": ("xn--.test", LABEL),
    "punycode in another spelling than its own (N-22)": ("xn---a.test", PUNYCODE),
    "sharp s (N-22)": ("faß.test", ASCII),
    "a wildcard sent literally (N-25)": ("*.wild.test", LABEL),
    "a label that ends in a hyphen": ("ok-.test", LABEL),
    "IPvFuture (N-44)": ("[v1.ok.test]", COLON),
    "an IPv6 zone (N-43)": ("[::ffff:1.2.3.4%x.wild.test]", "an IPv6 zone"),
    "an escaped IPv6 zone (N-43)": ("[::1%25.wild.test]", "an IPv6 zone"),
    "an IPv6 zone without brackets": ("fe80::1%eth0", "an IPv6 zone"),
    "circled digits (A-06)": ("①②⑦.⓪.⓪.①", ASCII),
    "ligatures in IPv6 (A-06)": ("[::ﬀﬀ:7f00:1]", ASCII),
    "IPv4 out of range (A-08)": ("256.0.0.1", NUMERIC),
    "five parts (A-08)": ("1.2.3.4.5", NUMERIC),
    "an overflowing integer (A-08)": ("4294967297", NUMERIC),
    "two ports (A-08)": ("127.0.0.1:80:80", COLON),
    "IPv4 with a final dot": ("192.0.2.1.", SPELLING),
    "a name whose last label is hexadecimal": ("evil.0x", NUMERIC),
    **{
        f"inet_aton reads {text} as an address (A-05)": (text, NUMERIC)
        for text in (
            "127.1",
            "2130706433",
            "0x7f000001",
            "0x7F.1",
            "017700000001",
            "0177.0.0.1",
            "0",
            "00000127.0.0.1",
            "2852039166",
            "0xA9FEA9FE",
            "0251.0376.0251.0376",
            "169.254.43518",
        )
    },
}


@pytest.mark.parametrize(("raw", "why"), REFUSED.values(), ids=REFUSED.keys())
def test_what_could_be_read_in_two_ways_is_refused(raw: str | bytes, why: str) -> None:
    """Nothing is decoded, folded or trimmed; the message says what is wrong, not the name."""
    with pytest.raises(BadHostError) as caught:
        normalize_host(raw)
    assert why == str(caught.value)


@given(st.text() | st.binary() | st.from_regex(r"\A[A-Z0-9x_.:\[\]%-]{1,40}\Z"))
def test_normalising_is_idempotent(raw: str | bytes) -> None:
    """A spelling that came out goes in again unchanged, whatever the input was."""
    try:
        host = normalize_host(raw)
    except BadHostError:
        return
    assert host == normalize_host(host)


@given(st.ip_addresses())
def test_every_address_has_a_spelling_that_is_known_as_a_literal(address: object) -> None:
    """An address is never taken for a name."""
    assert is_ip_literal(normalize_host(str(address)))


@pytest.mark.parametrize(
    ("host", "is_literal"),
    [("192.0.2.1", True), ("2001:db8::1", True), ("1.2.3.4.wild.test", False), ("localhost", False)],
)
def test_only_addresses_are_ip_literals(host: str, is_literal: bool) -> None:
    """A name that begins like an address is a name."""
    assert is_literal == is_ip_literal(host)


AUTHORITIES = {
    "a name": ("ok.test", ("ok.test", 443)),
    "a name and a port": ("OK.test:8443", ("ok.test", 8443)),
    "IPv6 in brackets": ("[2001:db8::1]", ("2001:db8::1", 443)),
    "IPv6 in brackets and a port": ("[2001:db8::1]:80", ("2001:db8::1", 80)),
    "the highest port": ("ok.test:65535", ("ok.test", 65535)),
}


@pytest.mark.parametrize(("text", "expected"), AUTHORITIES.values(), ids=AUTHORITIES.keys())
def test_an_authority_is_a_host_and_a_port(text: str, expected: tuple[str, int]) -> None:
    """The default port stands in where none is written."""
    assert expected == split_authority(text, default_port=443)


@pytest.mark.parametrize(
    "text",
    [
        "ok.test:",
        "ok.test:0",
        "ok.test:65536",
        "ok.test:-1",
        "ok.test:+443",
        "ok.test:https",
        "ok.test:00443",
        "ok.test:443:80",
        "ok.test:443\n",
        "ok.test:\uff14\uff14\uff13",
        "ok.test@evil.test:443",
        "2001:db8::1",
        "[2001:db8::1]443",
        "[ok.test]:443",
        ":443",
    ],
)
def test_an_authority_with_an_odd_port_or_host_is_refused(text: str) -> None:
    """Ports are decimal, 1 to 65535, without sign or leading zero (N-10, N-11)."""
    with pytest.raises(BadHostError):
        split_authority(text, default_port=443)


MATCHES = {
    "an exact name matches itself": ("ok.test", "ok.test", True),
    "an exact name matches no subdomain": ("ok.test", "a.ok.test", False),
    "an exact name matches no longer label (N-06)": ("ok.test", "evilok.test", False),
    "an exact name matches no suffix of it (N-07)": ("ok.test", "ok.test.evil.test", False),
    "a wildcard matches a subdomain": ("*.wild.test", "a.wild.test", True),
    "a wildcard matches at any depth (N-24)": ("*.wild.test", "a.b.wild.test", True),
    "a wildcard never matches the apex (N-23)": ("*.wild.test", "wild.test", False),
    "a wildcard keeps to label boundaries (N-25)": ("*.wild.test", "notwild.test", False),
    "a wildcard matches names that begin like an address (N-43)": ("*.wild.test", "1.2.3.4.wild.test", True),
    "an address matches itself": ("192.0.2.1", "192.0.2.1", True),
    "an IPv6 address matches itself": ("2001:db8::1", "2001:db8::1", True),
}


@pytest.mark.parametrize(("pattern", "host", "is_match"), MATCHES.values(), ids=MATCHES.keys())
def test_a_pattern_matches_whole_labels(pattern: str, host: str, is_match: bool) -> None:
    """Exact means exact, `*.` means subdomains only."""
    assert is_match == HostPattern.parse(pattern).matches(host)
    assert pattern == str(HostPattern.parse(pattern))


BAD_PATTERNS = {
    "a bare star": ("*", "a wildcard stands alone as the first label, as in *.example.com"),
    "a wildcard over a whole top-level domain": (
        "*.com",
        "a wildcard needs a registrable domain behind it, as in *.example.com",
    ),
    "a wildcard over a registry's second level": (
        "*.co.uk",
        "a wildcard needs a registrable domain behind it, as in *.example.com",
    ),
    "a wildcard over an address": (
        "*.0.2.1",
        NUMERIC,
    ),
    "a wildcard over a whole address": (
        "*.192.0.2.1",
        "a wildcard needs a registrable domain behind it, as in *.example.com",
    ),
    "a wildcard in the middle": (
        "a.*.test",
        "a wildcard stands alone as the first label, as in *.example.com",
    ),
    "a wildcard in a label": (
        "ex*mple.test",
        "a wildcard stands alone as the first label, as in *.example.com",
    ),
    "two wildcards": ("*.*.test", "a wildcard stands alone as the first label, as in *.example.com"),
    "a scheme": ("http://ok.test", COLON),
    "a slash": ("ok.test/", LABEL),
    "a space": (" ok.test", CONTROL),
    "another script": ("тест.test", ASCII),
    "capitals": ("OK.test", "write it as ok.test"),
    "a final dot": ("ok.test.", "write it as ok.test"),
    "brackets": ("[2001:db8::1]", "write it as 2001:db8::1"),
}


@pytest.mark.parametrize(("text", "why"), BAD_PATTERNS.values(), ids=BAD_PATTERNS.keys())
def test_a_pattern_that_is_too_wide_or_misspelt_is_refused(text: str, why: str) -> None:
    """A rule is refused when it is written, with the form that would be right (N-26)."""
    with pytest.raises(BadHostError) as caught:
        HostPattern.parse(text)
    assert why == str(caught.value)
