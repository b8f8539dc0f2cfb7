"""The simulated models' whole intelligence: a deterministic extractive summary, and text in tokens."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

_STOP = frozenset(
    re.findall(
        r"\w+",
        """
        about after also among another because been before being between both could does each even every
        from have having here into itself just like made make many might more most much must never only
        other over same should some still such than that their them then there these they this those though
        through under until upon very were what when where which while whose will with without would your
        """,
    )
)
SENTENCES = 4


def summarize(text: str, *, sentences: int = SENTENCES) -> str:
    """The most telling sentences of `text`, word for word and in their order."""
    found = re.split(r"(?<=[.!?])\s+(?=[\"'(]?[A-Z])", re.sub(r"\s+", " ", text).strip())
    if len(found) <= sentences:
        return " ".join(found)
    counts = Counter(word for sentence in found for word in _words(sentence))

    def weight(index: int) -> float:
        words = _words(found[index])
        return sum(counts[word] for word in set(words)) / (len(words) + 8)

    best = sorted(range(len(found)), key=lambda index: (-weight(index), index))[:sentences]
    return " ".join(found[index] for index in sorted(best))


def tokens(text: str) -> list[str]:
    """`text` in pieces of a word each, which joined give the text again."""
    return re.findall(r"\s*\S+|\s+$", text)


def collect_text(value: object) -> str:
    """All the text in a message's content, whichever of the three providers' shapes it has."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return "\n".join(filter(None, (collect_text(value.get(k)) for k in ("text", "content", "parts"))))
    if isinstance(value, Sequence):
        return "\n".join(filter(None, (collect_text(item) for item in value)))
    return ""


def user_text(messages: object) -> str:
    """What the user's messages say; a message without a role is the user's."""
    if isinstance(messages, str):
        return messages
    if not isinstance(messages, Sequence):
        return ""
    return "\n".join(
        collect_text(m) for m in messages if not isinstance(m, Mapping) or m.get("role", "user") == "user"
    )


def _words(sentence: str) -> list[str]:
    return [w for w in re.findall(r"[a-z]{4,}", sentence.lower()) if w not in _STOP]
