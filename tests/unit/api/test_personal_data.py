"""What is masked in texts that are kept, and what stays."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop_api.contract.personal_data import mask_personal_data


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("write to ann.lee+news@mail.example.co.uk, please", "write to [EMAIL], please"),
        ("jürgen@müller.example!", "[EMAIL]!"),
        ("<a@b.io>", "<[EMAIL]>"),
        ("from 192.168.0.1:8080", "from [IP]:8080"),
        ("from 2001:db8::8a2e:370:7334 and ::1", "from [IP] and [IP]"),
        ("at ::ffff:192.0.2.128.", "at [IP]."),
        ("to DE89 3704 0044 0532 0130 00 until Monday", "to [IBAN] until Monday"),
        ("to DE89370400440532013000", "to [IBAN]"),
        ("to gb82 west 1234 5698 7654 32", "to [IBAN]"),
        ("to DE89 3704 0044 0532 0130 00 THIS WEEK", "to [IBAN] THIS WEEK"),
        ("card 4111 1111 1111 1111, thanks", "card [CARD], thanks"),
        ("card 5500-0055-5555-5559", "card [CARD]"),
        ("amex 378282246310005", "amex [CARD]"),
        ("4111 1111 1111 1111 12/26 123", "[CARD] 12/26 123"),
        ("2 x 5500-0055-5555-5559 378282246310005", "2 x [CARD] [CARD]"),
        ("in 2024 4111 1111 1111 1111", "in 2024 [CARD]"),
        ("3782 822463 10005 08/27", "[CARD] 08/27"),
        ("No.4111111111111111", "No.[CARD]"),
        ("4111\u00a01111\u00a01111\u00a01111", "[CARD]"),
        ("4111–1111–1111–1111 – “so”", "[CARD] – “so”"),
        ("４１１１１１１１１１１１１１１１ or ２", "[CARD] or ２"),
        ("٤١١١١١١١١١١١١١١١ or ٢", "[CARD] or ٢"),
        ("DE89\u00a03704\u00a00044\u00a00532\u00a00130\u00a000", "[IBAN]"),
        ("ann＠mail．example", "[EMAIL]"),
        ("from 192.168.001.001", "from [IP]"),
        ("source:2001:db8::1", "source:[IP]"),
        (
            '{"a": [{"mail": "a@b.io", "ip": "::1", "card": "4111111111111111"}]}',
            '{"a": [{"mail": "[EMAIL]", "ip": "[IP]", "card": "[CARD]"}]}',
        ),
        ("Tel.030 1234567 or Tel.+49 30 1234567", "Tel.[PHONE] or Tel.[PHONE]"),
        ("+49\u00a030\u00a01234567", "[PHONE]"),
        ("call +49 (0)30 1234-567", "call [PHONE]"),
        ("call +1 555 123 4567.", "call [PHONE]."),
        ("call 0049 170 1234567", "call [PHONE]"),
        ("call (030) 123 45 67", "call [PHONE]"),
        ("call 030/1234567", "call [PHONE]"),
        ("call 555-123-4567", "call [PHONE]"),
        ("Authorization: Basic dXNlcjpwYXNz and bearer 0123456789", "Authorization: Basic *** and bearer ***"),
        ("my token is hf_abcdefghijklmnopqrst", "my token is hf_***"),
    ],
)
def test_what_names_a_person_is_masked(text, masked):
    assert mask_personal_data(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A fine film, 10 out of 10!",
        "rated 4.5/5 on 2026-11-30 at 12:30:45",
        "on 30/11/2026 and 03/04/2026",
        "version 1.2.3.4.5 and 10.0",
        "999.1.1.1 is no address",
        "std::vector<int>",
        "3 @ 5 and @ann",
        "order 4111111111111112",
        "DE00 3704 1144 1532 1130 11 has wrong check digits",
        "it costs 1,000,000 dollars, or 12 345 678",
        "0.123456789",
        "0.4111111111111111",
        "a basic understanding, basic well-made storytelling. The ring bearer returned...",
        "BASIC TRAINING",
        "1 2 3 4 5 6 7 8 9 10 11 12 13",
        "２ films – at 12：30 · x²",
        "in 1999 2001 2003",
        "0000000000000000",
        "GOOD WORK MY DEAR",
    ],
)
def test_what_names_nobody_stays(text):
    assert mask_personal_data(text) == text


def check_digits(country: str, account: str) -> str:
    number = int("".join(str(int(character, 36)) for character in f"{account}{country}00"))
    return f"{98 - number % 97:02d}"


def luhn(digits: str) -> str:
    total = sum(sum(divmod(int(digit) * (2 if place % 2 == 0 else 1), 10)) for place, digit in enumerate(digits[::-1]))
    return digits + str(-total % 10)


@given(st.text("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=11, max_size=30))
def test_every_account_with_right_check_digits_is_masked(account):
    assert mask_personal_data(f"to DE{check_digits('DE', account)}{account}, now") == "to [IBAN], now"


@given(
    st.text("0123456789", min_size=12, max_size=18).filter(lambda digits: set(digits) != {"0"}),
    st.sampled_from(["", " ", "-"]),
)
def test_every_card_with_a_right_check_digit_is_masked(digits, between):
    number = luhn(digits)
    grouped = between.join(number[start : start + 4] for start in range(0, len(number), 4))
    assert mask_personal_data(f"pay by {grouped}, now") == "pay by [CARD], now"


@given(st.text("ab1 .@:-+0(/)é[]", max_size=60))
def test_what_is_masked_once_stays_as_it_is(text):
    masked = mask_personal_data(text)
    assert mask_personal_data(masked) == masked


@pytest.mark.parametrize(
    "part",
    [
        "a",
        "1",
        "1 ",
        "0",
        "a@",
        "a.",
        "@a.",
        "1.",
        ":",
        "a:",
        "DE12",
        "DE12 ",
        "+1",
        "1234 ",
        "４",
        "(0",
        "0-",
        "+1.",
        "12 ",
    ],
)
def test_a_text_made_to_take_long_takes_no_second(part):
    text = part * (400_000 // len(part))
    start = time.process_time()
    mask_personal_data(text)
    assert time.process_time() - start < 5
