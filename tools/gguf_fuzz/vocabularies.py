"""Models of the fixtures' weights with vocabularies of other kinds, which no fixture has."""

from __future__ import annotations

from dataclasses import replace

from gguf_fuzz.layout import TEXT, Entry, GgufFile, Value

PREFIX = "tokenizer.ggml."
NORMAL, CONTROL = 1, 3
N_CONTROL = 4


def values_of(file: GgufFile, name: str) -> tuple[Value, ...]:
    """Return the values of an entry of the vocabulary."""
    return next(entry.values for entry in file.entries if entry.key == PREFIX + name)


def with_vocabulary(file: GgufFile, *entries: Entry) -> GgufFile:
    """Return the file with these entries, named without their prefix, instead of those of its vocabulary."""
    others = (entry for entry in file.entries if not entry.key.startswith(PREFIX))
    return replace(file, entries=(*others, *(replace(entry, key=PREFIX + entry.key) for entry in entries)))


def with_byte_pairs(file: GgufFile, source: GgufFile) -> GgufFile:
    """Return ``file`` with the first byte pairs of another model, and control tokens behind them."""
    n = len(values_of(file, "tokens"))
    tokens = values_of(source, "tokens")
    n_bytes = (
        len(tokens) - len(values_of(source, "merges")) - sum(kind != NORMAL for kind in values_of(source, "token_type"))
    )
    n_normal = n - N_CONTROL
    controls = tuple(f"<|{i}|>" for i in range(N_CONTROL))
    return with_vocabulary(
        file,
        Entry("model", TEXT, ("gpt2",)),
        Entry("pre", TEXT, values_of(source, "pre")),
        Entry("tokens", TEXT, tokens[:n_normal] + controls, is_array=True),
        Entry("token_type", 5, (NORMAL,) * n_normal + (CONTROL,) * N_CONTROL, is_array=True),
        Entry("merges", TEXT, values_of(source, "merges")[: n_normal - n_bytes], is_array=True),
        Entry("eos_token_id", 4, (n_normal,)),
    )


def with_escapes(file: GgufFile) -> GgufFile:
    r"""Return the file with a vocabulary of RWKV: every byte, as ``\x0a`` where it is no letter, and pairs of them."""
    n = len(values_of(file, "tokens"))
    names = [chr(byte) if chr(byte).isascii() and chr(byte).isalnum() else f"\\x{byte:02x}" for byte in range(256)]
    tokens = (*names, *(names[i] + names[i + 1] for i in range(97, 97 + n - len(names))))
    return with_vocabulary(
        file,
        Entry("model", TEXT, ("rwkv",)),
        Entry("tokens", TEXT, tokens, is_array=True),
        Entry("token_type", 5, (NORMAL,) * n, is_array=True),
    )


def with_merges(file: GgufFile, model: str) -> GgufFile:
    """Return the file with its own vocabulary as one of a kind that has byte tokens and merges."""
    tokens = [str(token) for token in values_of(file, "tokens")]
    known = set(tokens)
    halves = ((token[:i], token[i:]) for token in tokens for i in range(1, len(token)))
    merges = tuple(f"{left} {right}" for left, right in halves if left in known and right in known)
    made = renamed(file, model)
    return replace(made, entries=(*made.entries, Entry(f"{PREFIX}merges", TEXT, merges, is_array=True)))


def renamed(file: GgufFile, model: str) -> GgufFile:
    """Return the file with its own vocabulary, called one of another kind."""
    entries = (Entry(e.key, TEXT, (model,)) if e.key == f"{PREFIX}model" else e for e in file.entries)
    return replace(file, entries=tuple(entries))
