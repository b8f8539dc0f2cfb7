"""runtime.canary.upstreams.summary."""

from __future__ import annotations

from runtime.canary.upstreams.summary import collect_text, summarize, tokens, user_text

TEXT = (
    "The lamp burned all night. Keepers trimmed the lamp. A gull flew by. Ships watched the lamp from afar. "
    "The keeper slept at noon. Fog hid the lamp from ships. Rain fell."
)


def test_a_summary_is_made_of_the_texts_own_sentences() -> None:
    """Each sentence of the summary occurs in the text, in the same order, and not all of them are taken."""
    summary = summarize(TEXT, sentences=3)
    places = [TEXT.index(sentence) for sentence in summary.replace(". ", ".|").split("|")]
    assert places == sorted(places)
    assert len(places) == 3


def test_a_summary_is_deterministic() -> None:
    """The same text gives the same summary."""
    assert summarize(TEXT) == summarize(TEXT)


def test_a_short_text_is_its_own_summary() -> None:
    """Nothing is lost of a text that has few sentences."""
    assert summarize("One.  Two\nthree.") == "One. Two three."


def test_tokens_join_to_the_text() -> None:
    """Streaming loses no character, white space included."""
    text = " a  b\nc. "
    assert "".join(tokens(text)) == text
    assert tokens("") == []


def test_text_is_found_in_each_providers_shape() -> None:
    """A user's text is found in OpenAI, Anthropic and Gemini messages; the system's is left out."""
    assert user_text("plain") == "plain"
    assert user_text([{"role": "system", "content": "be short"}, {"role": "user", "content": "a"}]) == "a"
    assert user_text([{"role": "user", "content": [{"type": "text", "text": "b"}]}]) == "b"
    assert user_text([{"parts": [{"text": "c"}, {"text": "d"}]}]) == "c\nd"
    assert collect_text(7) == ""
