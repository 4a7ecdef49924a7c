"""``hf:owner/repo[:QUANT|/file][@revision]``, and what is refused there."""

from __future__ import annotations

import pytest

from inllama import AsyncLLM, InvalidRequestError
from inllama.hub.reference import Reference


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hf:a/b", Reference("a/b")),
        ("hf:unsloth/Qwen3-0.6B-GGUF:Q4_K_M", Reference("unsloth/Qwen3-0.6B-GGUF", "Q4_K_M")),
        ("hf:a/b:UD-Q4_K_XL@v1.0", Reference("a/b", "UD-Q4_K_XL", None, "v1.0")),
        ("hf:a/b/c.gguf", Reference("a/b", None, "c.gguf")),
        ("hf:a/b/Q4/c d.GGUF@refs/pr/3", Reference("a/b", None, "Q4/c d.GGUF", "refs/pr/3")),
        ("hf:a/b@" + "a" * 40, Reference("a/b", None, None, "a" * 40)),
        ("hf:a/b/c@d.gguf@main", Reference("a/b", None, "c@d.gguf", "main")),
    ],
)
def test_reference_is_read_and_written(text: str, expected: Reference) -> None:
    assert Reference.parse(text) == expected
    assert str(expected) == text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a/b", "does not begin with hf:"),
        ("hf:", "names no repository"),
        ("hf:a", "names no repository"),
        ("hf:/b", "names no repository"),
        ("hf:a/..", "names no repository"),
        ("hf:../b:Q4_0", "names no repository"),
        ("hf:a/b--c", "names no repository"),
        ("hf:a/.b", "names no repository"),
        ("hf:a\\b/c", "names no repository"),
        ("hf:a/b\0", "names no repository"),
        ("hf:C:/b", "names no repository"),
        ("hf:a/b:", "names no quantization"),
        ("hf:a/b:Q4 K", "names no quantization"),
        ("hf:a/b:Q4/c.gguf", "names no repository"),
        ("hf:a/b/", "names no repository"),
        ("hf:a/b/c.bin", "does not end in .gguf"),
        ("hf:a/b/../c.gguf", "leads out of its folder"),
        ("hf:a/b//c.gguf", "leads out of its folder"),
        ("hf:a/b/c\\d.gguf", "backslash"),
        ("hf:a/b/C:c.gguf", "colon"),
        ("hf:a/b/c\0.gguf", "control character"),
        ("hf:a/b/c\n.gguf", "control character"),
        ("hf:a/b/\ud83d.gguf", "no Unicode text"),
        ("hf:a/b/" + "c" * 300 + ".gguf", "too long"),
        ("hf:a/b@", "revision"),
        ("hf:a/b@../main", "revision"),
        ("hf:a/b@refs/../../x", "revision"),
        ("hf:a/b@/x", "revision"),
        ("hf:a/b@-x", "revision"),
        ("hf:a/b@a\\b", "revision"),
        ("hf:a/b@a b", "revision"),
    ],
)
def test_what_is_no_reference_is_refused_with_the_remedy(text: str, problem: str) -> None:
    with pytest.raises(InvalidRequestError, match=problem) as raised:
        Reference.parse(text)
    assert "write hf:owner/repo, hf:owner/repo:Q4_K_M or hf:owner/repo/file.gguf" in str(raised.value)
    assert raised.value.reference == text


def test_async_face_checks_a_reference_before_it_loads() -> None:
    with pytest.raises(InvalidRequestError, match="names no repository"):
        AsyncLLM("hf:owner")
