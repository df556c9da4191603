"""Masks what names a person, or their account, in a text that is kept: e-mail and IP addresses, bank accounts, cards, phone numbers. Pure.

Rules find what has a form. Names and streets have none, and stay. A number that could be something else is masked only where its check digits
agree (accounts, cards), or it looks like a phone number. Digits, blanks and dashes of any script count as those of ASCII. The time is linear in the
length of the text.
Sources: ISO 13616 and ISO 7064 (account numbers: remainder 1 by 97), ISO/IEC 7812-1 annex B (cards: Luhn), ITU-T E.164 (phones: at most 15 digits).
"""

from __future__ import annotations

import re
import unicodedata
from ipaddress import IPv6Address
from typing import TYPE_CHECKING

from tuneloop_api.contract.redaction import redact_prose

if TYPE_CHECKING:
    from collections.abc import Callable

EMAIL, IP, ACCOUNT, CARD, PHONE = "[EMAIL]", "[IP]", "[IBAN]", "[CARD]", "[PHONE]"

_EMAIL = re.compile(r"(?<![\w.%+-])[\w.%+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
_IPV4 = re.compile(r"(?<!\w)(?<![0-9]\.)(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?!\w|\.\d)")
_IPV6 = re.compile(r"(?<![\w.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?:(?:\.?[0-9]{1,3}){3})?(?![\w:])")
_ACCOUNT = re.compile(
    r"\b[A-Z]{2}[0-9]{2}(?:[A-Z0-9]{11,30}|(?: [A-Z0-9]{4}){2,7}(?: [A-Z0-9]{1,3})?)\b", re.IGNORECASE | re.ASCII
)
_NUMBERS = re.compile(r"(?<!\w)(?<![0-9]\.)[0-9](?:[ -]?[0-9]){12,}(?!\w)")
_CARD = re.compile(
    r"(?<![0-9])(?:[0-9]{13,19}"
    r"|[0-9]{4}([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{4}"  # most cards
    r"|[0-9]{4}([ -])[0-9]{6}\2[0-9]{4,5})"  # American Express, Diners Club
    r"(?![0-9])"
)
_PHONE = re.compile(
    r"(?<![\w+])(?<![0-9][.-])(?:(?:\+|00)[1-9](?:[ ()./-]{0,2}[0-9]){6,13}"  # with the country
    r"|\(0?[0-9]{2,5}\)[ -]?[0-9](?:[ /-]?[0-9]){4,9}"  # (030) 1234567
    r"|0[0-9](?:[ /-]?[0-9]){5,11}"  # 030 1234567
    r"|[0-9]{3}[ .-][0-9]{3}[ .-][0-9]{4})"  # 555-123-4567
    r"(?![\w])"
)
_DATE = re.compile(r"[0-9]{1,2}([ /-])[0-9]{1,2}\1[0-9]{4}")
_SHORTEST_ACCOUNT = 15
_MOST_OCTET = 255
_MOST_CARD_DIGITS = 19
_FEWEST_PHONE_DIGITS, _MOST_PHONE_DIGITS = 7, 15


def mask_personal_data(text: str) -> str:
    """Return a text with `[EMAIL]`, `[IP]`, `[IBAN]`, `[CARD]` and `[PHONE]` in place of such data, and `***` in place of what looks like a secret."""
    text = redact_prose(text)
    for pattern, mask in _RULES:
        text = _masked(text, pattern, mask)
    return text


def _masked(text: str, pattern: re.Pattern[str], mask: Callable[[re.Match[str]], str]) -> str:
    """Return a text with what a rule finds in its plain spelling masked; what it does not find stays as it is spelled."""
    plain = text if text.isascii() else text.translate(_PLAIN)
    parts, end = [], 0
    for found in pattern.finditer(plain):
        if (masked := mask(found)) != found[0]:
            parts += [text[end : found.start()], masked]
            end = found.end()
    return "".join([*parts, text[end:]])


class _Plain(dict[int, str]):
    """Each character → the one of ASCII that a reader takes it for, such as a digit of another script; it fills itself."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        compatible = unicodedata.normalize("NFKC", character)
        if character.isdecimal():
            plain = str(unicodedata.decimal(character))
        elif unicodedata.category(character) == "Pd" or character == _MINUS:
            plain = "-"
        else:
            plain = compatible if len(compatible) == 1 and compatible.isascii() else character
        self[code] = plain
        return plain


_MINUS = "\N{MINUS SIGN}"
_PLAIN = _Plain()


def _email(_: re.Match[str]) -> str:
    return EMAIL


def _ipv4(found: re.Match[str]) -> str:
    """Return the mask, also for numbers with zeros in front, which are none by RFC 6943 and stand in logs."""
    return IP if all(int(octet) <= _MOST_OCTET for octet in found[0].split(".")) else found[0]


def _ipv6(found: re.Match[str]) -> str:
    try:
        IPv6Address(found[0])
    except ValueError:
        return found[0]
    return IP if any(character.isalnum() for character in found[0]) else found[0]


def _account(found: re.Match[str]) -> str:
    """Return the text with the account masked. The words behind it may look like further groups of four."""
    groups = found[0].split(" ")
    for end in range(len(groups), 0, -1):
        if _is_account("".join(groups[:end])):
            return " ".join([ACCOUNT, *groups[end:]])
    return found[0]


def _is_account(characters: str) -> bool:
    if len(characters) < _SHORTEST_ACCOUNT:
        return False
    moved = characters[4:] + characters[:4]
    return int("".join(str(int(character, 36)) for character in moved)) % 97 == 1


def _cards(found: re.Match[str]) -> str:
    """Return numbers with each card masked: all of them together, or those that stand as a card does, with a date or an amount beside it."""
    numbers = found[0]
    if _is_card(numbers):
        return CARD
    parts, end, start = [], 0, 0
    while card := _CARD.search(numbers, start):
        start = card.start() + 1
        if _is_card(card[0]):
            parts += [numbers[end : card.start()], CARD]
            start = end = card.end()
    return "".join([*parts, numbers[end:]])


def _is_card(numbers: str) -> bool:
    digits = [int(character) for character in reversed(numbers) if character.isdigit()]
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[1::2]]
    return len(digits) <= _MOST_CARD_DIGITS and any(digits) and (sum(digits[::2]) + sum(doubled)) % 10 == 0


def _phone(found: re.Match[str]) -> str:
    digits = sum(character.isdigit() for character in found[0])
    is_phone = _FEWEST_PHONE_DIGITS <= digits <= _MOST_PHONE_DIGITS + 2 and not _DATE.fullmatch(found[0])
    return PHONE if is_phone else found[0]


_RULES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (_EMAIL, _email),
    (_IPV6, _ipv6),
    (_IPV4, _ipv4),
    (_ACCOUNT, _account),
    (_NUMBERS, _cards),
    (_PHONE, _phone),
)
"""In this order: an account holds what looks like a phone number, an IPv6 address may end as an IPv4 address, and no rule finds anything in a mask."""
