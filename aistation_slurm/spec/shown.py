"""How a value of the cluster file is shown in a complaint: short, and with nothing hidden in it."""

from __future__ import annotations

import unicodedata

MOST = 60
"""So many letters of a value are shown."""


class OddNumber(float):
    """What YAML takes for a number, and a person may have meant otherwise: `08`, `1e3`, `0x10`, `1_000`, `.5`."""

    __slots__ = ("meant", "text")

    text: str
    meant: int | None
    """The whole number that it stands for, or None."""

    def __new__(cls, text: str) -> OddNumber:
        """Return the number as it is written."""
        made = super().__new__(cls)
        made.text, made.meant = text, _whole(text)
        return made

    def __repr__(self) -> str:
        return self.text


def _whole(text: str) -> int | None:
    plain = text.replace("_", "").lower()
    if len(plain) > MOST:
        return None
    try:
        if plain.lstrip("+-")[:2] in {"0x", "0o", "0b"}:
            return int(plain, 0)
        if plain.lstrip("+-").isdigit():
            return int(plain)
        return int(number) if (number := float(plain)) % 1 == 0 else None
    except (ValueError, OverflowError):
        return None


def shown(value: object) -> str:
    """Return the value as one short line; letters that can't be seen are spelled out."""
    if isinstance(value, dict):
        return "a mapping" if value else "nothing"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and len(value) > MOST:
        return f"{value[: MOST - 3]!r}..."
    text = repr(value)
    return text if len(text) <= 2 * MOST else f"{text[: MOST - 3]}..."


def stranger(text: str) -> str:
    """Return the first letter of the text that is none of ASCII's, by name; nothing where there is none.

    Some look like others: a name with a letter of another script in it can read as if it were right.
    """
    letter = next((each for each in text if not each.isascii()), "")
    if not letter:
        return ""
    name = unicodedata.name(letter, "a letter without a name")
    return f"U+{ord(letter):04X} in it is {name}"
