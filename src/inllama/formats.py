"""The values of ``format`` in a JSON schema that can be enforced, each as one regular expression.

They hold no look-around and no back reference, so generation can follow them and a check takes linear time. Dates are
those of the calendar: no 31 February, no second 60, no year 0. What they allow, ``datetime``, ``uuid`` and
``ipaddress`` can read.

Source: RFC 3339 (dates, times and durations), RFC 9562 (UUID), RFC 4291 (IPv6), RFC 1123 (host names), RFC 3986 (URI);
an email address is that of HTML forms, without quoted local parts.
"""

from __future__ import annotations

import re

_YEAR = "(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
_DIVISIBLE_BY_4 = "(?:0[48]|[2468][048]|[13579][26])"
_LEAP_YEAR = f"(?:[0-9]{{2}}{_DIVISIBLE_BY_4}|{_DIVISIBLE_BY_4}00)"
_DAY = (
    "(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    "|02-(?:0[1-9]|1[0-9]|2[0-8]))"
)
_DATE = f"(?:{_YEAR}-{_DAY}|{_LEAP_YEAR}-02-29)"
_MINUTES = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_TIME = f"{_MINUTES}:[0-5][0-9](?:\\.[0-9]{{1,9}})?(?:Z|[+-]{_MINUTES})"

_CLOCK = "T(?:[0-9]+H(?:[0-9]+M(?:[0-9]+S)?)?|[0-9]+M(?:[0-9]+S)?|[0-9]+S)"
_DAYS = "(?:[0-9]+Y(?:[0-9]+M(?:[0-9]+D)?)?|[0-9]+M(?:[0-9]+D)?|[0-9]+D)"

_BYTE = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = f"(?:{_BYTE}\\.){{3}}{_BYTE}"
_HEX = "[0-9A-Fa-f]{1,4}"
# Of the eight groups, `::` stands for one or more; n groups before it leave at most 7 - n after it.
_IPV6 = "|".join(
    [
        f"(?:{_HEX}:){{7}}{_HEX}",
        f"(?:{_HEX}:){{1,7}}:",
        *(f"(?:{_HEX}:){{{n}}}(?::{_HEX}){{1,{7 - n}}}" for n in range(1, 7)),
        f":(?::{_HEX}){{1,7}}",
        "::",
    ]
)
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = f"{_LABEL}(?:\\.{_LABEL})*"

PATTERNS: dict[str, str] = {
    "date-time": f"^{_DATE}T{_TIME}$",
    "date": f"^{_DATE}$",
    "time": f"^{_TIME}$",
    "duration": f"^P(?:{_DAYS}(?:{_CLOCK})?|{_CLOCK}|[0-9]+W)$",
    "uuid": "^[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$",
    "email": f"^[A-Za-z0-9.!#$%&'*+/=?^_`{{|}}~-]{{1,64}}@{_HOST}$",
    "hostname": f"^{_HOST}$",
    "ipv4": f"^{_IPV4}$",
    "ipv6": f"^(?:{_IPV6})$",
    "uri": "^[A-Za-z][A-Za-z0-9+.-]*:(?:[A-Za-z0-9._~:/?#@!$&'()*+,;=-]|\\[|\\]|%[0-9A-Fa-f]{2})+$",
}

# Without the anchors, since `$` of Python also matches before a line feed at the end.
_COMPILED = {name: re.compile(pattern[1:-1]) for name, pattern in PATTERNS.items()}


def has_format(text: str, name: str) -> bool:
    """Whether ``text`` has the format; ``name`` is one of ``PATTERNS``."""
    return _COMPILED[name].fullmatch(text) is not None
