"""An agent's output: lines, bounds, and secrets that do not get into the record."""

from __future__ import annotations

import base64
from urllib.parse import quote

import pytest

from runtime.engine.protocol import STDERR, STDOUT
from runtime.keys.redactor import Redactor
from runtime.sandbox.output import MAX_LINE_CHARS, Output


def output(*secrets: str, stdout_bytes: int = 1000, log_bytes: int = 1000) -> Output:
    """An output with these secrets."""
    return Output(Redactor(secrets), stdout_bytes=stdout_bytes, log_bytes=log_bytes)


def test_log_comes_in_whole_lines_however_it_is_cut():
    """A line is given once it is complete, with all that are complete by then; the rest at the end."""
    out = output()
    assert out.feed(STDERR, b"on") == []
    assert out.feed(STDERR, b"e\ntwo\nth") == ["one\ntwo\n"]
    assert out.finish() == ["th"]
    assert out.finish() == []
    assert out.stderr == "one\ntwo\nth"


def test_a_flood_of_empty_lines_is_one_piece_for_each_read():
    """Sixty thousand lines are one text: nothing behind this is done by the line (fault A11)."""
    assert output().feed(STDERR, b"\n" * 60_000) == ["\n" * 60_000]


def test_a_line_without_end_is_cut():
    """A line of a gigabyte is not kept in memory until it ends."""
    lines = output().feed(STDERR, b"x" * (2 * MAX_LINE_CHARS + 1))
    assert [len(line) for line in lines] == [MAX_LINE_CHARS, MAX_LINE_CHARS]


def test_stdout_is_collected_up_to_its_bound():
    """Beyond the bound stdout is dropped, and that is told."""
    out = output(stdout_bytes=4)
    out.feed(STDOUT, b"1234")
    assert not out.is_stdout_too_long
    out.feed(STDOUT, b"5")
    assert (out.stdout, out.is_stdout_too_long) == ("1234", True)


def test_the_kept_log_is_its_end():
    """The record keeps the last words."""
    out = output(log_bytes=4)
    out.feed(STDERR, b"first\nlast")
    out.finish()
    assert out.stderr == "last"


def test_bytes_that_are_no_text_are_replaced():
    """Binary output never breaks the record."""
    out = output()
    out.feed(STDOUT, b"\xff\x00")
    assert out.stdout == "\ufffd\x00"


SECRET = 'pa"ss\\wörd'
SPELLINGS = {
    "as it is": SECRET,
    "as JSON writes it": '{"key": "pa\\"ss\\\\w\\u00f6rd"}',
    "twice": f"{SECRET} {SECRET}",
}


@pytest.mark.parametrize("case", SPELLINGS)
def test_secrets_are_masked_in_both_streams(case: str):
    """A secret that the agent prints is in neither stdout nor the log."""
    out = output(SECRET)
    out.feed(STDOUT, SPELLINGS[case].encode())
    lines = out.feed(STDERR, SPELLINGS[case].encode() + b"\n")
    for text in (out.stdout, out.stderr, *lines):
        assert "***" in text
        assert "rd" not in text
        assert "ss" not in text


def test_a_secret_cut_by_two_reads_is_masked():
    """Masking looks at whole lines, not at what a read happened to bring."""
    out = output("secret-value")
    out.feed(STDERR, b"a secret-")
    assert out.feed(STDERR, b"value b\n") == ["a *** b\n"]


@pytest.mark.parametrize("at", [0, 1, 7, 11, 12, 13])
@pytest.mark.parametrize("size", [1, 1000, 1 << 20])
def test_a_secret_in_a_line_without_end_is_masked(at: int, size: int):
    """Wherever a line that is too long is cut, no piece of a value is on either side."""
    data = b"x" * (MAX_LINE_CHARS - at) + b"secret-value" + b"y" * MAX_LINE_CHARS
    data += b"secret-value" * 3
    out, lines = output("secret-value"), []
    step = size if size > 1 else len(data) // 5 + 1
    for start in range(0, len(data), step):
        lines += out.feed(STDERR, data[start : start + step])
    text = "".join([*lines, *out.finish()])

    assert text == "x" * (MAX_LINE_CHARS - at) + "***" + "y" * MAX_LINE_CHARS + "***" * 3


def test_a_letter_cut_by_two_reads_stays_one():
    """UTF-8 is decoded over the reads."""
    out = output()
    assert [*out.feed(STDERR, "ö".encode()[:1]), *out.feed(STDERR, "ö".encode()[1:] + b"\n")] == ["ö\n"]


VALUE = "sk-value?with/signs 0123"
CODED = {
    "percent": quote(VALUE, safe=""),
    "base64": base64.b64encode(VALUE.encode()).decode(),
    "base64, one on": base64.b64encode(b"k" + VALUE.encode()).decode(),
    "base64, two on": base64.urlsafe_b64encode(b"k=" + VALUE.encode()).decode(),
    "hex": VALUE.encode().hex(),
    "HEX": VALUE.encode().hex().upper(),
}


@pytest.mark.parametrize("coding", CODED)
def test_a_coded_secret_is_masked(coding: str):
    """Encoding a value does not put it into the record."""
    out = output(VALUE)
    out.feed(STDOUT, f"a {CODED[coding]} b".encode())

    assert "***" in out.stdout
    assert CODED[coding][6:-6] not in out.stdout


def test_a_secret_of_several_lines_is_masked_line_by_line():
    """A key in PEM form is masked although the log comes by lines."""
    out = output("-----BEGIN KEY-----\nMIGHAgEA\n-----END KEY-----")
    assert out.feed(STDERR, b"MIGHAgEA\n") == ["***\n"]


def test_a_secret_within_another_is_masked_whole():
    """The longer value goes first, so that no rest of it shows."""
    assert Redactor(["abcdefgh", "abcdefgh-ijkl"])("abcdefgh-ijkl") == "***"


def test_short_values_are_left():
    """Masking `1` would mask the result."""
    assert Redactor(["1", ""])("1") == "1"


def test_a_secret_that_is_learnt_later_is_masked():
    """The proxy's token is known only once the sandbox is."""
    redact = Redactor([])
    redact.add("token-of-the-proxy")
    assert redact("http://explain:token-of-the-proxy@10.0.0.2") == "http://explain:***@10.0.0.2"


def test_base64_in_lines_is_masked_over_the_lines_of_the_log():
    """A line that ends in some of a value's letters waits for the next; any other goes on at once."""
    value = "value-of-a-key-0123456789abcdef"
    letters = base64.b64encode(value.encode()).decode()
    out = output(value)
    assert out.feed(STDERR, b"to wait\n") == ["to wait\n"]
    assert out.feed(STDERR, f"a {letters[:20]}\n".encode()) == []
    assert out.feed(STDERR, f"{letters[20:]}\nb\n".encode()) == ["a ***g==\nb\n"]


def test_utf_16_is_masked_before_it_is_read_as_text():
    """PowerShell writes it so; its bytes are no UTF-8."""
    out = output("wört-0123456789")
    out.feed(STDERR, "x wört-0123456789 y\n".encode("utf-16-le"))
    assert "0\x001\x00" not in "".join(out.finish()) + out.stderr
    assert "***" in out.stderr


def test_the_head_of_stdout_is_masked_as_the_whole_is():
    """A value over the end of what is shown leaves no piece of itself."""
    out = output("secret-value", stdout_bytes=10_000)
    out.feed(STDOUT, b"x" * 95 + b"secret-value" + b"y" * 5000)
    assert out.stdout_head(100) == "x" * 95 + "***yy"
    assert out.raw_stdout[95:107] == "secret-value"
