"""Byte-level BPE with the word pattern of Qwen2: training, encoding, decoding and a JSON file format."""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import corpus
import regex
from dialogue import END_OF_TEXT

END_OF_TURN = "<|im_end|>"
CONTROLS = (END_OF_TEXT, "<|im_start|>", END_OF_TURN)
TAGS = tuple(f"<{end}{tag}>" for tag in ("think", "tool_call", "tool_response", "tools") for end in ("", "/"))
SPECIALS = (*CONTROLS, *TAGS)
VOCAB_SIZE = 2048
TRAINING_DOCUMENTS = 12_000

# What llama.cpp calls the pre-tokenizer "qwen2"; each digit is a word.
_WORDS = regex.compile(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_SPECIALS = regex.compile("|".join(regex.escape(special) for special in SPECIALS))

Pair = tuple[str, str]


@lru_cache(maxsize=1)
def byte_alphabet() -> list[str]:
    """Returns the printable character which stands for each of the 256 bytes in GPT-2 vocabularies."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    extra = iter(range(0x100, 0x200))
    return [chr(byte) if byte in printable else chr(next(extra)) for byte in range(256)]


def split_words(text: str) -> list[str]:
    """Splits plain text into the words inside which merges may happen, spelled in the byte alphabet."""
    alphabet = byte_alphabet()
    return ["".join(alphabet[byte] for byte in word.encode("utf-8")) for word in _WORDS.findall(text)]


def split_specials(text: str) -> Iterator[tuple[str, bool]]:
    """Yields the pieces of a text and whether each is a special token."""
    start = 0
    for match in _SPECIALS.finditer(text):
        if match.start() > start:
            yield text[start : match.start()], False
        yield match[0], True
        start = match.end()
    if start < len(text):
        yield text[start:], False


def merge_pair(symbols: Sequence[str], pair: Pair) -> list[str]:
    """Replaces each occurrence of the pair by its concatenation, from left to right."""
    merged: list[str] = []
    position = 0
    while position < len(symbols):
        if tuple(symbols[position : position + 2]) == pair:
            merged.append(pair[0] + pair[1])
            position += 2
        else:
            merged.append(symbols[position])
            position += 1
    return merged


def train_merges(texts: Iterable[str], count: int) -> list[Pair]:
    """Learns the most frequent merges; ties are resolved alphabetically."""
    frequencies: Counter[str] = Counter()
    for text in texts:
        for piece, special in split_specials(text):
            if not special:
                frequencies.update(split_words(piece))
    words = [(list(word), frequency) for word, frequency in sorted(frequencies.items())]
    pairs: Counter[Pair] = Counter()
    users: defaultdict[Pair, set[int]] = defaultdict(set)
    for index, (symbols, frequency) in enumerate(words):
        for pair in pairwise(symbols):
            pairs[pair] += frequency
            users[pair].add(index)

    merges: list[Pair] = []
    while len(merges) < count:
        best = max(pairs, key=lambda pair: (pairs[pair], pair), default=None)
        if best is None or pairs[best] < 2:
            break
        merges.append(best)
        for index in users.pop(best):
            symbols, frequency = words[index]
            for pair in pairwise(symbols):
                pairs[pair] -= frequency
            symbols = merge_pair(symbols, best)
            words[index] = (symbols, frequency)
            for pair in pairwise(symbols):
                pairs[pair] += frequency
                users[pair].add(index)
        del pairs[best]
    return merges


class Tokenizer:
    """A trained vocabulary: 256 bytes, then one token per merge, then the special tokens.

    Attributes:
        merges: Merges in the order of their priority.
        tokens: Token texts in the byte alphabet, by id.
        end: Id of ``<|endoftext|>``, which begins every text and ends a story.
        end_of_turn: Id of ``<|im_end|>``, which ends a message.
    """

    def __init__(self, merges: Sequence[Pair]) -> None:
        self.merges = list(merges)
        self.tokens = [*byte_alphabet(), *(left + right for left, right in self.merges), *SPECIALS]
        if len(set(self.tokens)) != len(self.tokens):
            raise ValueError("two merges give the same token")
        self._ids = {token: index for index, token in enumerate(self.tokens)}
        self._ranks = {pair: rank for rank, pair in enumerate(self.merges)}
        self._bytes = {character: byte for byte, character in enumerate(byte_alphabet())}
        self._cache: dict[str, list[int]] = {}
        self.end = self._ids[END_OF_TEXT]
        self.end_of_turn = self._ids[END_OF_TURN]

    def encode(self, text: str) -> list[int]:
        """Returns the token ids of text; the spelling of a special token gives that token."""
        ids: list[int] = []
        for piece, special in split_specials(text):
            if special:
                ids.append(self._ids[piece])
            else:
                for word in split_words(piece):
                    ids += self._encode_word(word)
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """Returns the text of token ids, with the spelling of special tokens."""
        tokens = (self.tokens[index] for index in ids)
        data = (token.encode() if token in SPECIALS else bytes(self._bytes[c] for c in token) for token in tokens)
        return b"".join(data).decode("utf-8", errors="replace")

    def save(self, path: Path) -> None:
        """Writes the merges as JSON."""
        path.write_text(json.dumps({"merges": self.merges}, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Tokenizer:
        """Reads a tokenizer which ``save`` has written."""
        merges = json.loads(path.read_text(encoding="utf-8"))["merges"]
        return cls([(left, right) for left, right in merges])

    def _encode_word(self, word: str) -> list[int]:
        if word not in self._cache:
            symbols = list(word)
            while len(symbols) > 1:
                pairs = pairwise(symbols)
                best = min(pairs, key=lambda pair: self._ranks.get(pair, len(self._ranks)))
                if best not in self._ranks:
                    break
                symbols = merge_pair(symbols, best)
            self._cache[word] = [self._ids[symbol] for symbol in symbols]
        return self._cache[word]


def train(output: Path, seed: int) -> Tokenizer:
    """Trains a tokenizer on the first documents of the corpus and saves it."""
    drawn = (corpus.draw_document(seed, number) for number in range(TRAINING_DOCUMENTS))
    texts = ("".join(text for text, _ in document.parts) for document in drawn)
    tokenizer = Tokenizer(train_merges(texts, VOCAB_SIZE - 256 - len(SPECIALS)))
    tokenizer.save(output)
    return tokenizer


def main() -> None:
    """Trains a tokenizer from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    print(f"{len(train(args.output, args.seed).tokens)} tokens")


if __name__ == "__main__":
    main()
