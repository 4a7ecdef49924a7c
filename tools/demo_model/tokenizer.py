"""Byte-level BPE in the style of GPT-2: training, encoding, decoding and a JSON file format."""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

END_OF_TEXT = "<|endoftext|>"
SPECIALS = (END_OF_TEXT, "<|im_start|>", "<|im_end|>")
VOCAB_SIZE = 1024

# The GPT-2 pattern without Unicode properties, which the re module lacks; both agree on ASCII text.
_WORDS = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+")

Pair = tuple[str, str]


@lru_cache(maxsize=1)
def byte_alphabet() -> list[str]:
    """Returns the printable character which stands for each of the 256 bytes in GPT-2 vocabularies."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    extra = iter(range(0x100, 0x200))
    return [chr(byte) if byte in printable else chr(next(extra)) for byte in range(256)]


def split_words(text: str) -> list[str]:
    """Splits text into the words inside which merges may happen, spelled in the byte alphabet."""
    alphabet = byte_alphabet()
    return ["".join(alphabet[byte] for byte in word.encode("utf-8")) for word in _WORDS.findall(text)]


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
        frequencies.update(split_words(text))
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
        end: Id of ``<|endoftext|>``, which begins and ends every text.
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

    def encode(self, text: str) -> list[int]:
        """Returns the token ids of plain text, without begin and end tokens."""
        return [token for word in split_words(text) for token in self._encode_word(word)]

    def decode(self, ids: Iterable[int]) -> str:
        """Returns the text of token ids, leaving out special tokens."""
        tokens = (self.tokens[index] for index in ids)
        data = bytes(self._bytes[c] for token in tokens if token not in SPECIALS for c in token)
        return data.decode("utf-8", errors="replace")

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


def train(corpus: Path, output: Path) -> Tokenizer:
    """Trains a tokenizer on a corpus with one story per line and saves it."""
    stories = corpus.read_text(encoding="utf-8").splitlines()
    tokenizer = Tokenizer(train_merges(stories, VOCAB_SIZE - 256 - len(SPECIALS)))
    tokenizer.save(output)
    return tokenizer


def main() -> None:
    """Trains a tokenizer from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("output", type=Path)
    args = parser.parse_args()
    tokenizer = train(args.corpus, args.output)
    print(f"{len(tokenizer.tokens)} tokens")


if __name__ == "__main__":
    main()
