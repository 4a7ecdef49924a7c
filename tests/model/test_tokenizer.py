"""The tokenizer agrees with llama.cpp's own expectations, and no text kills the process.

Run as a program, this file tokenizes long texts: tests do that in child processes, which a signal could end.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import inllama
from inllama import InvalidRequestError, Model, Tokenizer

ROOT = Path(__file__).resolve().parents[2]
DEMO = Path(inllama.__path__[0]) / "models" / "demo.gguf"
SEPARATOR = "\n__ggml_vocab_test__\n"


def llama_tree() -> Path | None:
    """Return the pinned llama.cpp tree if this machine has it."""
    named = os.environ.get("LLAMA_CPP_SOURCE_DIR")
    if named:
        return Path(named)
    command = [sys.executable, str(ROOT / "tools" / "llama_source.py")]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return Path(found.stdout.strip()) if found.returncode == 0 else None


TREE = llama_tree()
VOCABULARIES = sorted(TREE.glob("models/ggml-vocab-*.gguf")) if TREE else []
NO_TREE = "no llama.cpp tree: set LLAMA_CPP_SOURCE_DIR, or let 'make install' fetch it"
# Skipped as one test where there is no tree.
EACH = VOCABULARIES or [pytest.param(None, marks=pytest.mark.skip(reason=NO_TREE))]


def short_name(path: Path | None) -> str:
    return path.stem.removeprefix("ggml-vocab-") if path else "none"


@pytest.fixture(scope="module", params=EACH, ids=short_name)
def vocabulary(request: pytest.FixtureRequest) -> Iterator[tuple[Path, Tokenizer]]:
    with Model(request.param, vocab_only=True) as model:
        yield request.param, model.tokenizer


@pytest.fixture(scope="module")
def demo() -> Tokenizer:
    return Model(DEMO, vocab_only=True).tokenizer


def expected_of(path: Path) -> list[tuple[str, list[int]]]:
    """Return llama.cpp's test texts and their ids; nothing for the few vocabularies that have none."""
    if not Path(f"{path}.inp").exists():
        return []
    texts = Path(f"{path}.inp").read_bytes().decode().split(SEPARATOR)
    lines = Path(f"{path}.out").read_text(encoding="utf-8").splitlines()
    ids = [[int(word) for word in line.split()] for line in lines]
    if len(texts) == len(ids) + 1 and not texts[-1]:
        texts.pop()
    return list(zip(texts, ids, strict=True))


TEXTS = [
    "",
    " ",
    "Hello, world!",
    "Hello . world , it 's I 'm",
    " leading and trailing ",
    "two  spaces, three   spaces\tand\ttabs\n\nand lines\r\n",
    "NUL \0 and bell \a",
    "äöüß éèê ñ",
    "中文字符 日本語 한국어",
    "👩‍👩‍👧‍👦 🏳️‍🌈 e\u0301",
    "\u200b\ufeff\u2028\U0010ffff",
    "1234567890 3.14159 0x1F",
    "<|endoftext|> <s> [INST]",
    "x" * 300,
]


# -------------------------------------------------------------------------------------- every vocabulary of the tree


def test_ids_are_those_that_llama_cpp_expects(vocabulary: tuple[Path, Tokenizer]) -> None:
    path, tokenizer = vocabulary
    for text, ids in expected_of(path):
        assert tokenizer.encode(text, add_special=False).tolist() == ids, text


@pytest.mark.skipif(TREE is None, reason=NO_TREE)
def test_most_vocabularies_have_expectations() -> None:
    assert sum(len(expected_of(path)) > 40 for path in VOCABULARIES) >= 15


def test_batch_gives_what_single_texts_give(vocabulary: tuple[Path, Tokenizer]) -> None:
    _, tokenizer = vocabulary
    for add_special in (True, False):
        batch = tokenizer.encode_batch(TEXTS, add_special=add_special)
        assert len(batch) == len(TEXTS)
        for text, ids in zip(TEXTS, batch, strict=True):
            assert ids.dtype == np.int32
            np.testing.assert_array_equal(ids, tokenizer.encode(text, add_special=add_special))


def test_text_survives_encode_and_decode(vocabulary: tuple[Path, Tokenizer]) -> None:
    _, tokenizer = vocabulary
    for text in TEXTS:
        # These two kinds normalize text; what they give they then keep.
        for _ in range(2 if tokenizer.type in ("wpm", "ugm") else 0):
            text = tokenizer.decode(tokenizer.encode(text, add_special=False))
        ids = tokenizer.encode(text, add_special=False)
        assert tokenizer.decode(ids) == text
        assert tokenizer.decode_bytes(ids) == text.encode()


def test_pieces_of_every_token_have_their_whole_length(vocabulary: tuple[Path, Tokenizer]) -> None:
    _, tokenizer = vocabulary
    pieces = [tokenizer.piece(token) for token in range(0, len(tokenizer), 7)]
    assert max(map(len, pieces)) > 8
    longest = max(range(0, len(tokenizer), 7), key=lambda token: len(pieces[token // 7]))
    assert tokenizer.decode_bytes([longest], special=True).strip() in pieces[longest // 7]


def test_special_tokens_are_in_the_vocabulary(vocabulary: tuple[Path, Tokenizer]) -> None:
    _, tokenizer = vocabulary
    names = ["bos", "eos", "eot", "sep", "nl", "pad", "mask", "fim_prefix", "fim_suffix", "fim_middle", "fim_pad"]
    for name in [*names, "fim_repository", "fim_separator"]:
        token = getattr(tokenizer, name)
        assert token is None or 0 <= token < tokenizer.n_tokens, name
    ends = tokenizer.end_tokens.tolist()
    assert ends == sorted(set(ends))
    assert all(tokenizer.is_end(token) for token in ends)
    if tokenizer.eos is not None:
        assert tokenizer.eos in ends
    if tokenizer.adds_bos:
        assert tokenizer.encode("Hello")[0] == tokenizer.bos


def test_stream_of_tokens_never_gives_half_a_character(vocabulary: tuple[Path, Tokenizer]) -> None:
    _, tokenizer = vocabulary
    assert_streams_like_bytes(tokenizer, random.Random(3), n_sequences=40)


def assert_streams_like_bytes(tokenizer: Tokenizer, generator: random.Random, n_sequences: int) -> None:
    """Decode random tokens, which break characters everywhere, one by one and compare with all their bytes at once."""
    for _ in range(n_sequences):
        tokens = [generator.randrange(len(tokenizer)) for _ in range(generator.randrange(1, 60))]
        special = generator.random() < 0.5
        expected = b"".join(tokenizer.piece(token, special=special) for token in tokens).decode("utf-8", "replace")
        decoder = tokenizer.decoder(special=special)
        given = ""
        for token in tokens:
            given += decoder.push(token)
            # What was given is never taken back.
            assert expected.startswith(given), tokens
        assert given + decoder.flush() == expected, tokens


# ------------------------------------------------------------------------------------------------- the demo model


def byte_tokens(tokenizer: Tokenizer) -> dict[int, int]:
    """Return the token of each single byte that has one."""
    pieces = {token: tokenizer.piece(token, special=False) for token in range(len(tokenizer))}
    return {piece[0]: token for token, piece in pieces.items() if len(piece) == 1}


def test_every_byte_has_a_token_in_the_demo_model(demo: Tokenizer) -> None:
    assert sorted(byte_tokens(demo)) == list(range(256))


@pytest.mark.parametrize("text", TEXTS)
def test_character_of_several_tokens_appears_when_it_is_whole(demo: Tokenizer, text: str) -> None:
    tokens = byte_tokens(demo)
    decoder = demo.decoder()
    given = []
    for character in text:
        *begin, last = character.encode()
        assert [decoder.push(tokens[byte]) for byte in begin] == [""] * len(begin)
        given.append(decoder.push(tokens[last]))
    assert given == list(text)
    assert decoder.flush() == ""


@pytest.mark.parametrize("seed", range(20))
def test_any_bytes_stream_as_python_decodes_them(demo: Tokenizer, seed: int) -> None:
    generator = random.Random(seed)
    tokens = byte_tokens(demo)
    # Bytes that begin, continue and break characters, more often than chance has them.
    favourites = [0x41, 0x80, 0xBF, 0xC0, 0xC3, 0xE0, 0xE4, 0xED, 0xA0, 0xEF, 0xF0, 0x90, 0xF4, 0x8F, 0xF5, 0xFF]
    for _ in range(200):
        length = generator.randrange(1, 12)
        content = bytes(generator.choice(favourites) for _ in range(length))
        decoder = demo.decoder()
        text = "".join(decoder.push(tokens[byte]) for byte in content) + decoder.flush()
        assert text == content.decode("utf-8", "replace"), content
        assert demo.decode([tokens[byte] for byte in content]) == text


def test_random_tokens_of_the_demo_model_stream_like_bytes(demo: Tokenizer) -> None:
    assert_streams_like_bytes(demo, random.Random(5), n_sequences=500)


def test_decoder_begins_anew_after_flush(demo: Tokenizer) -> None:
    tokens = byte_tokens(demo)
    decoder = demo.decoder()
    assert decoder.push(tokens[0xE4]) == ""
    assert decoder.flush() == "\ufffd"
    assert decoder.flush() == ""
    assert decoder.push(tokens[0x41]) == "A"


def test_decoders_do_not_share_their_state(demo: Tokenizer) -> None:
    tokens = byte_tokens(demo)
    first, second = demo.decoder(), demo.decoder()
    assert first.push(tokens[0xC3]) == ""
    assert second.push(tokens[0x41]) == "A"
    assert first.push(tokens[0xA4]) == "ä"


def test_ids_may_be_any_integers(demo: Tokenizer) -> None:
    ids = demo.encode("Once upon a time")
    assert ids.dtype == np.int32
    assert ids.flags.writeable
    text = demo.decode(ids)
    for form in (ids.tolist(), tuple(ids.tolist()), ids.astype(np.int64), ids.astype(np.uint16), ids[::1], iter(ids)):
        assert demo.decode(form) == text
    assert demo.decode(ids[::-1][::-1]) == text
    assert demo.decode([]) == ""
    assert demo.decode(np.array([], np.int32)) == ""


def test_special_tokens_have_text_only_on_request(demo: Tokenizer) -> None:
    assert demo.eos is not None
    spelling = demo.token_text(demo.eos)
    assert demo.is_control(demo.eos)
    assert demo.decode([demo.eos]) == ""
    assert demo.decode([demo.eos], special=True) == spelling
    assert demo.piece(demo.eos) == spelling.encode()
    assert demo.encode(spelling, add_special=False, parse_special=True).tolist() == [demo.eos]
    assert demo.eos not in demo.encode(spelling, add_special=False).tolist()


def test_tokenizer_outlives_its_model() -> None:
    tokenizer = Model(DEMO, vocab_only=True).tokenizer
    assert tokenizer.decode(tokenizer.encode("still here", add_special=False)) == "still here"


def test_threads_share_a_tokenizer(demo: Tokenizer) -> None:
    expected = [ids.tolist() for ids in demo.encode_batch(TEXTS)]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: [ids.tolist() for ids in demo.encode_batch(TEXTS)], range(40)))
    assert all(result == expected for result in results)


# ------------------------------------------------------------------------------------------------------ long texts

LONG = 10_000_000
KINDS = {"letter": "a", "space": " ", "digit": "1"}
# What one run may be made of: a regular expression has a branch for each kind.
RUNS = ("a", " ", "1", "!", "中")


def prose(n_characters: int) -> str:
    """Return text that looks like prose: words, numbers, sentences and paragraphs."""
    generator = random.Random(1)
    words = ("the", "of", "and", "to", "in", "that", "is", "was", "he", "for", "on", "are", "with", "have", "word")
    ends = (". ", "? ", "! ", ".\n\n", ", 1984. ", "; isn't it? ")
    sentences = [
        " ".join(generator.choice(words) for _ in range(generator.randrange(4, 17))).capitalize()
        + generator.choice(ends)
        for _ in range(2000)
    ]
    text = "".join(sentences)
    return (text * (n_characters // len(text) + 1))[:n_characters]


def run_length(vocabulary: str) -> int:
    """Return the characters of a run: 10 MB where that takes seconds, or everywhere with ``make test-all``."""
    # These take up to 30 s and 1.3 GB for 10 MB, all with the same code; the others refuse it or are fast.
    merging = ("command-r", "gemma-4", "gpt-2", "llama-bpe", "mpt", "qwen2", "qwen35", "refact", "starcoder")
    is_slow = vocabulary in (*merging, "baichuan", "llama-spm", "phi-3")
    return LONG // 5 if is_slow and not os.environ.get("INLLAMA_TEST_ALL") else LONG


def in_child(path: Path, *arguments: str) -> list[str]:
    """Run this file and return what it printed."""
    command = [sys.executable, "-X", "faulthandler", __file__, str(path), *arguments]
    child = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert child.returncode == 0, child.stderr or f"ended by signal {-child.returncode}"
    assert child.stderr == ""
    return child.stdout.splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("path", EACH, ids=short_name)
def test_10_mb_gives_ids_or_the_limit(path: Path) -> None:
    lines = in_child(path, "long")
    assert [line.split()[0] for line in lines] == ["prose", *KINDS]
    assert lines[0].startswith("prose ids ")


@pytest.mark.slow
@pytest.mark.parametrize("path", EACH, ids=short_name)
def test_longest_possible_run_gives_ids_and_one_more_the_limit(path: Path) -> None:
    lines = in_child(path, "runs")
    expected = [f"{character!a} ids" for character in RUNS]
    assert [line.replace("' ' limit", "' ' ids") for line in lines] in (["no limit"], expected)


def outcome(tokenizer: Tokenizer, text: str) -> str:
    try:
        return f"ids {len(tokenizer.encode(text))}"
    except InvalidRequestError as error:
        return f"limit {error.limit}"


def tokenize_long(vocabulary: str, tokenizer: Tokenizer) -> None:
    def tokenize(kind: str) -> str:
        text = prose(LONG) if kind == "prose" else KINDS[kind] * run_length(vocabulary)
        return f"{kind} {outcome(tokenizer, text)}"

    with ThreadPoolExecutor(2) as pool:
        for line in pool.map(tokenize, ("prose", *KINDS)):
            print(line)


def tokenize_runs(tokenizer: Tokenizer) -> None:
    limit = run_limit(tokenizer)
    if limit is None:
        print("no limit")
        return

    def tokenize(character: str) -> str:
        # Of spaces there may be fewer, if the vocabulary has tokens of its own for many of them.
        assert outcome(tokenizer, character * (limit + 1)).startswith("limit")
        return f"{character!a} {outcome(tokenizer, character * limit).split()[0]}"

    with ThreadPoolExecutor(2) as pool:
        for line in pool.map(tokenize, RUNS):
            print(line)


def run_limit(tokenizer: Tokenizer) -> int | None:
    """Return the longest run that this vocabulary takes, or ``None`` if it has no limit."""
    # No vocabulary merges these, so that one without a limit is found fast.
    word, limit = outcome(tokenizer, "\u4e2d\u00e9" * 500_000).split()
    return int(limit) if word == "limit" else None


def main() -> int:
    """Tokenize long texts with a vocabulary and print what came of each."""
    path, what = Path(sys.argv[1]), sys.argv[2]
    tokenizer = Model(path, vocab_only=True).tokenizer
    if what == "long":
        tokenize_long(short_name(path), tokenizer)
    else:
        tokenize_runs(tokenizer)
    return 0


if __name__ == "__main__":
    sys.exit(main())
