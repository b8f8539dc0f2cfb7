"""Headers as the proxy holds them while it cleans them: in order, names without case, equal ones joined."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableMapping


class Fields(MutableMapping[str, str]):
    """A request's headers (RFC 9110 section 5.3)."""

    def __init__(self, fields: Iterable[tuple[bytes, bytes]]) -> None:
        self._fields = [
            (name.decode(errors="surrogateescape"), value.decode(errors="surrogateescape"))
            for name, value in fields
        ]

    def all(self, name: str) -> list[str]:
        """The values of each header of that name."""
        return [value for known, value in self._fields if known.lower() == name.lower()]

    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Every header by itself, in order."""
        return tuple(self._fields)

    def __getitem__(self, name: str) -> str:
        values = self.all(name)
        if not values:
            raise KeyError(name)
        return ", ".join(values)

    def __setitem__(self, name: str, value: str) -> None:
        if name in self:
            del self[name]
        self._fields.append((name, value))

    def __delitem__(self, name: str) -> None:
        kept = [field for field in self._fields if field[0].lower() != name.lower()]
        if len(kept) == len(self._fields):
            raise KeyError(name)
        self._fields = kept

    def __iter__(self) -> Iterator[str]:
        return iter({name.lower(): name for name, _ in self._fields}.values())

    def __len__(self) -> int:
        return len({name.lower() for name, _ in self._fields})
