"""What a format allows, Python can read; what it refuses is refused for a reason."""

from __future__ import annotations

import datetime
import ipaddress
import random
import uuid
from typing import Any

import pytest

from inllama import formats
from inllama.patterns import Pattern

GOOD: dict[str, list[str]] = {
    "date-time": ["2024-02-29T23:59:59Z", "1815-12-10T00:00:00.123+05:30", "9999-12-31T23:59:59.123456789-23:59"],
    "date": ["2024-02-29", "2000-02-29", "0001-01-01", "1999-12-31", "2023-04-30"],
    "time": ["00:00:00Z", "23:59:59.5+00:00"],
    "duration": ["P1D", "P1Y2M3D", "PT1H", "PT1M30S", "P1DT12H", "P4W", "P2M"],
    "uuid": ["123e4567-e89b-12d3-a456-426614174000", "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF"],
    "email": ["ada@example.org", "a.b+c@x", "o'neil@sub.example.com"],
    "hostname": ["localhost", "a-b.example.org", "xn--nxasmq6b"],
    "ipv4": ["0.0.0.0", "255.255.255.255", "192.168.1.10"],
    "ipv6": ["::", "::1", "1::", "2001:db8::8a2e:370:7334", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8"],
    "uri": ["https://example.org/a?b=c#d", "mailto:ada@example.org", "urn:isbn:0451450523", "http://[::1]/"],
}
BAD: dict[str, list[str]] = {
    "date-time": [
        "2024-02-29",
        "2024-02-29 23:59:59Z",
        "2024-02-29T24:00:00Z",
        "2024-02-29T23:59:60Z",
        "2024-02-29T23:59:59",
    ],
    "date": [
        "2023-02-29",
        "1900-02-29",
        "2024-04-31",
        "2024-13-01",
        "2024-00-10",
        "0000-01-01",
        "2024-1-1",
        "2024-01-01\n",
    ],
    "time": ["23:59Z", "23:59:59", "24:00:00Z", "1:00:00Z", "00:00:00.Z"],
    "duration": ["P", "PT", "1D", "P1D2Y", "P1W1D", "PT1H1D"],
    "uuid": [
        "123e4567e89b12d3a456426614174000",
        "123e4567-e89b-12d3-a456-42661417400",
        "g23e4567-e89b-12d3-a456-426614174000",
    ],
    "email": ["ada", "@example.org", "ada@", "ada@-x.org", "a b@x.org"],
    "hostname": ["", "-a", "a-", "a..b", "a" * 64, "a_b"],
    "ipv4": ["256.1.1.1", "1.1.1", "01.1.1.1", "1.1.1.1."],
    "ipv6": ["", ":", "1:2:3:4:5:6:7", "1::2::3", "12345::", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::"],
    "uri": ["example.org", "://x", "http://exa mple", "http:", "http://a/%zz"],
}
READERS: dict[str, Any] = {
    "date-time": datetime.datetime.fromisoformat,
    "date": datetime.date.fromisoformat,
    "time": datetime.time.fromisoformat,
    "uuid": uuid.UUID,
    "ipv4": ipaddress.IPv4Address,
    "ipv6": ipaddress.IPv6Address,
}
EVERY = [(name, text) for name, texts in GOOD.items() for text in texts]


def test_every_format_has_examples() -> None:
    assert set(GOOD) == set(BAD) == set(formats.PATTERNS)


@pytest.mark.parametrize(("name", "text"), EVERY)
def test_good_text_has_the_format_and_can_be_read(name: str, text: str) -> None:
    assert formats.has_format(text, name)
    READERS.get(name, str)(text)


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in BAD.items() for text in texts])
def test_bad_text_has_not(name: str, text: str) -> None:
    assert not formats.has_format(text, name)


@pytest.mark.parametrize("name", formats.PATTERNS)
def test_our_own_patterns_agree_with_python(name: str) -> None:
    pattern = Pattern(formats.PATTERNS[name])
    for text in (*GOOD[name], *BAD[name]):
        assert pattern.search(text) == formats.has_format(text, name), text


def test_days_are_those_of_the_calendar() -> None:
    # Every day of two centuries with and without a leap year at their end, and nothing between them.
    for year in (*range(1896, 1906), *range(1996, 2006), 4, 100, 400):
        for month in range(14):
            for day in range(33):
                text = f"{year:04}-{month:02}-{day:02}"
                try:
                    datetime.date(year, month, day)
                except ValueError:
                    assert not formats.has_format(text, "date"), text
                else:
                    assert formats.has_format(text, "date"), text


def test_addresses_that_python_writes_are_addresses() -> None:
    numbers = random.Random(1)
    for _ in range(300):
        # Half of the groups are zero, so that all kinds of gaps come up.
        groups = [numbers.randrange(65536) * numbers.randrange(2) for _ in range(8)]
        address = ipaddress.IPv6Address(int("".join(f"{group:04x}" for group in groups), 16))
        # Python writes an address that holds one of IPv4 with dots, from 3.13 on.
        if address.ipv4_mapped is None:
            assert formats.has_format(str(address), "ipv6"), address
            assert formats.has_format(address.exploded, "ipv6"), address
