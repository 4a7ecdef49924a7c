"""The keywords of JSON Schema: which are enforced, which only describe, and what to do about the others.

The table in ``docs/guide/structured-output.md`` says the same; a test compares them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

# What each enforced keyword is enforced as.
ENFORCED: dict[str, str] = {
    "type": "one type or a list of them",
    "enum": "JSON values, written without white space; beside it `type` only",
    "const": "the same for one value",
    "properties": "in the order of the schema; those that are not in `required` may be missing",
    "required": "a name that is not in `properties` may have any value",
    "additionalProperties": "a schema, `true` or `false`; by default `false`, if the schema names any property",
    "propertyNames": "for objects without `properties`",
    "patternProperties": "one pattern, for objects without `properties` and other members",
    "minProperties": "0 or 1, or what `required` reaches anyway",
    "maxProperties": "for objects without `properties`, or what these cannot exceed anyway",
    "items": "a schema; what follows `prefixItems` is refused unless `items` is given",
    "prefixItems": "schemas by position",
    "minItems": "any number up to 100000",
    "maxItems": "any number up to 100000",
    "uniqueItems": "`false`, or where there is at most one item",
    "minLength": "in characters, up to 64",
    "maxLength": "in characters, up to 100000; above 8 an escape counts as the characters that it is written with",
    "pattern": "matches anywhere unless `^` or `$` say otherwise; not together with a length",
    "format": "`date`, `time`, `date-time`, `duration`, `uuid`, `ipv4`, `email` or `uri`; no length but `minLength` 1",
    "minimum": "exactly, up to 64 digits; such numbers have no exponent",
    "maximum": "the same",
    "exclusiveMinimum": "the same, as a number",
    "exclusiveMaximum": "the same, as a number",
    "anyOf": "beside it `type` and what only describes",
    "oneOf": "the same, if its schemas exclude each other by type, values or a required property with one value each",
    "allOf": "of one schema",
    "$ref": "inside the schema (`#/...`), also to itself; beside it only what describes",
    "unevaluatedProperties": "`false` without `anyOf`, `oneOf`, `allOf` and `$ref`",
    "unevaluatedItems": "the same",
}

# What only describes.
ANNOTATIONS = frozenset(
    {
        "title",
        "description",
        "default",
        "examples",
        "example",
        "$comment",
        "$schema",
        "$id",
        "$defs",
        "definitions",
        "deprecated",
        "readOnly",
        "writeOnly",
        "discriminator",
    }
)

# What to do instead of a keyword that is known and cannot be enforced.
REMEDIES: dict[str, str] = {
    "multipleOf": "list the numbers in 'enum', or check it afterwards",
    "not": "say what is allowed instead",
    "if": "write the cases into 'anyOf'",
    "then": "write the cases into 'anyOf'",
    "else": "write the cases into 'anyOf'",
    "contains": "say what every item is in 'items'",
    "minContains": "say what every item is in 'items'",
    "maxContains": "say what every item is in 'items'",
    "dependentRequired": "write the cases into 'anyOf'",
    "dependentSchemas": "write the cases into 'anyOf'",
    "dependencies": "write the cases into 'anyOf'",
    "additionalItems": "use 'prefixItems' and 'items'",
    "nullable": 'use a list in \'type\', such as ["string", "null"]',
    "$dynamicRef": "use '$ref'",
    "$recursiveRef": "use '$ref'",
    "$anchor": "refer to it by its place, '#/...'",
    "$dynamicAnchor": "refer to it by its place, '#/...'",
    "contentEncoding": "check it afterwards",
    "contentMediaType": "check it afterwards",
    "contentSchema": "check it afterwards",
}

# The keywords that are about one type only.
OF_TYPE: dict[str, frozenset[str]] = {
    "object": frozenset(
        {
            "properties",
            "required",
            "additionalProperties",
            "propertyNames",
            "patternProperties",
            "minProperties",
            "maxProperties",
            "unevaluatedProperties",
        }
    ),
    "array": frozenset({"items", "prefixItems", "minItems", "maxItems", "uniqueItems", "unevaluatedItems"}),
    "string": frozenset({"minLength", "maxLength", "pattern", "format"}),
    "number": frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}),
    "integer": frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}),
    "boolean": frozenset(),
    "null": frozenset(),
}

_DATE = (
    r"(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    r"|02-(?:0[1-9]|1[0-9]|2[0-8]))"
)
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,30}[A-Za-z0-9])?"
_WORD = r"[A-Za-z0-9_+-]{1,20}"
# A name that ends in a number would be an address, and "--" begins an encoding: not all of those are possible.
_NAME = r"[A-Za-z](?:-?[A-Za-z0-9]){0,20}"
_BYTE = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"

# All of them are texts of the format; the format has more.
FORMATS: dict[str, str] = {
    "date": _DATE,
    "time": _TIME,
    "date-time": f"{_DATE}T{_TIME}",
    "duration": r"P(?:[0-9]{1,8}W|[0-9]{1,8}D(?:T(?:[0-9]{1,6}H)?[0-9]{1,6}M)?|T[0-9]{1,6}[HMS])",
    "uuid": r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    "ipv4": rf"{_BYTE}\.{_BYTE}\.{_BYTE}\.{_BYTE}",
    "email": rf"{_WORD}(?:\.{_WORD}){{0,2}}@{_LABEL}(?:\.{_LABEL}){{1,6}}",  # at most 64 characters, and 253
    "uri": rf"[a-z][a-z0-9+.-]*://{_NAME}(?:\.{_NAME})*(?::[0-9]{{1,4}})?"
    r"(?:/[A-Za-z0-9._~-]*)*(?:\?[A-Za-z0-9._~=&-]*)?(?:#[A-Za-z0-9._~-]*)?",
}

# No text that url_pattern() allows is longer.
MAX_URL_LENGTH = 1280


def url_pattern(schemes: Sequence[str]) -> str:
    """Return the pattern of URLs with one of some schemes, such as ``https``."""
    names = "|".join(re.escape(scheme) for scheme in schemes)
    port = "" if "file" in schemes else r"(?::[0-9]{1,4})?"
    return rf"^(?:{names})://{_NAME}(?:\.{_NAME}){{0,3}}{port}/[A-Za-z0-9._~=&?#/-]{{0,1000}}$"
