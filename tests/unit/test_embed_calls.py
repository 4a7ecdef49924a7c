"""Vectors, ranks and labels of texts on a FakeEngine: shapes, options, order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from inllama import LLM, InvalidRequestError
from inllama.testing import FakeEngine

MakeEngine = Callable[..., FakeEngine]
N_VALUES = 64
# How texts may be given.
KINDS: dict[str, Callable[[list[str]], Any]] = {
    "list": list,
    "tuple": tuple,
    "generator": iter,
    "array": np.array,
    "keys": lambda texts: dict.fromkeys(texts).keys(),
}


@pytest.fixture
def llm(fake_engine: MakeEngine) -> LLM:
    return LLM(fake_engine())


def numbered(n: int) -> list[str]:
    """Texts that all differ, of many lengths."""
    return [f"text {i} " + "ab" * (i % 17) for i in range(n)]


def one_by_one(llm: LLM, texts: list[str]) -> NDArray[np.float32]:
    return np.stack([llm.embed(text) for text in texts])


def is_float32(array: NDArray[np.float32], *shape: int) -> bool:
    return array.shape == shape and array.dtype.name == "float32"


# ----------------------------------------------------------------------------------------------------------- shapes


def test_one_text_gives_one_vector(llm: LLM) -> None:
    vector = llm.embed("a text")
    assert is_float32(vector, N_VALUES)
    assert np.array_equal(vector, llm.embed(["a text"])[0])


def test_token_ids_are_one_text(llm: LLM) -> None:
    expected = llm.embed("abc")
    kinds: list[Any] = [list(b"abc"), tuple(b"abc"), np.frombuffer(b"abc", np.uint8)]
    for tokens in kinds:
        assert np.array_equal(llm.embed(tokens), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_many_texts_give_a_row_each(llm: LLM, kind: str) -> None:
    texts = ["one", "two", "three"]
    assert np.array_equal(llm.embed(KINDS[kind](texts)), one_by_one(llm, texts))


def test_rows_of_token_ids_may_stand_beside_texts(llm: LLM) -> None:
    texts: list[Any] = ["ab", list(b"cd"), np.frombuffer(b"ef", np.uint8)]
    rows = llm.embed(texts)
    assert np.array_equal(rows, one_by_one(llm, ["ab", "cd", "ef"]))
    table: Any = np.array([[97, 98], [99, 100]])
    assert np.array_equal(llm.embed(table), rows[:2])


@pytest.mark.parametrize("kind", ["list", "generator"])
def test_no_texts_give_no_rows(llm: LLM, kind: str) -> None:
    nothing = KINDS[kind]([])
    assert is_float32(llm.embed(nothing), 0, N_VALUES)
    assert llm.embed_tokens(nothing) == []
    assert llm.rerank("query", nothing) == []
    assert is_float32(llm.rerank_scores("query", nothing), 0)
    assert not llm.classify(nothing)


@pytest.mark.parametrize("n", [1, 3, 1500])
def test_rows_are_the_callers(llm: LLM, n: int) -> None:
    rows, other = llm.embed(numbered(n)), llm.embed(iter(numbered(n)))
    assert rows.flags.c_contiguous
    assert rows.flags.writeable
    rows[:] = 0
    assert other.any(axis=1).all()


def test_each_token_has_a_vector_of_its_own(llm: LLM) -> None:
    one, other = llm.embed_tokens(["abc", "d"], normalize="none")
    assert is_float32(one, 3, N_VALUES)
    assert is_float32(other, 1, N_VALUES)
    assert np.array_equal(one, llm.embed_tokens("abc", normalize="none"))
    assert llm.embed("abc", normalize="none") == pytest.approx(one.mean(axis=0), abs=1e-6)


# ---------------------------------------------------------------------------------------------------------- options


def test_vectors_are_scaled_as_asked(llm: LLM) -> None:
    plain = llm.embed("some text", normalize="none")
    assert llm.embed("some text") == pytest.approx(plain / np.linalg.norm(plain), abs=1e-6)
    assert llm.embed("some text", normalize="max_abs") == pytest.approx(plain / np.abs(plain).max(), abs=1e-6)
    assert np.linalg.norm(plain) != pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("normalize", ["l2", "max_abs", "none"])
def test_vectors_are_cut_before_they_are_scaled(llm: LLM, normalize: str) -> None:
    plain = llm.embed(["one", "two"], normalize="none")[:, :5]
    size = {"l2": np.linalg.norm(plain, axis=1), "max_abs": np.abs(plain).max(axis=1), "none": np.ones(2)}[normalize]
    found = llm.embed(["one", "two"], dimensions=5, normalize=normalize)
    assert found == pytest.approx(plain / size[:, None], abs=1e-6)
    assert llm.embed_tokens("ab", dimensions=5).shape == (2, 5)


def test_prefix_stands_before_each_text(llm: LLM) -> None:
    assert np.array_equal(llm.embed(["one", "two"], prefix="query: "), llm.embed(["query: one", "query: two"]))
    with pytest.raises(TypeError, match="prefix is put before texts, not before token ids"):
        llm.embed([97, 98], prefix="query: ")


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"dimensions": N_VALUES + 1}, InvalidRequestError, "dimensions is 65 but the vectors have 64 values"),
        ({"dimensions": 0}, InvalidRequestError, "dimensions is 0 but must be 1 to"),
        ({"pooling": "rank"}, InvalidRequestError, "pooling is 'rank'; use one of mean, cls, last"),
        ({"normalize": "l1"}, InvalidRequestError, "normalize is 'l1'; use one of l2, max_abs, none"),
        ({"normalise": "l2"}, TypeError, "unknown option 'normalise'; did you mean 'normalize'"),
        ({"progress": 3}, TypeError, "progress must be a function, not int"),
        ({"out": [0.0]}, TypeError, "out must be a float32 array, not list"),
    ],
    ids=str,
)
def test_options_that_are_not_possible_are_refused(
    llm: LLM, options: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        llm.embed("a", **options)


def test_pooling_of_single_tokens_is_refused(llm: LLM) -> None:
    with pytest.raises(TypeError, match="'pooling' has no effect"):
        llm.embed_tokens("a", pooling="mean")


@pytest.mark.parametrize(
    "wrong", [b"a", bytearray(b"a"), None, {"a": 1}, 5, [b"a"], ["a", None], [1.5], [[1, "a"]]], ids=str
)
def test_what_is_no_text_is_refused(llm: LLM, wrong: Any) -> None:
    for call in (llm.embed, llm.embed_tokens, llm.classify):
        with pytest.raises(TypeError):
            call(wrong)
    with pytest.raises(TypeError):
        llm.rerank("query", wrong)
    with pytest.raises(TypeError):
        llm.rerank(wrong, ["document"])


# -------------------------------------------------------------------------------------------------------------- out


@pytest.mark.parametrize("n_rows", [1500, 1501])
def test_rows_go_where_they_are_asked_for(llm: LLM, tmp_path: Path, n_rows: int) -> None:
    texts = numbered(1500)
    expected = llm.embed(texts)
    mapped = np.lib.format.open_memmap(tmp_path / "a.npy", mode="w+", dtype=np.float32, shape=(n_rows, N_VALUES))
    for out in (
        np.full((n_rows, N_VALUES), 7, np.float32),
        np.full((n_rows, 2 * N_VALUES), 7, np.float32)[:, ::2],
        mapped,
    ):
        untouched = out[1500:].copy()
        given = llm.embed(iter(texts), out=out)
        assert np.shares_memory(given, out)
        assert np.array_equal(given, expected)
        assert np.array_equal(out[1500:], untouched)
    assert np.array_equal(np.load(tmp_path / "a.npy")[:1500], expected)


def test_arrays_of_another_type_are_refused(llm: LLM) -> None:
    with pytest.raises(TypeError, match="out must be a float32 array, not an array of float64"):
        llm.embed(["a"], out=np.zeros((1, N_VALUES)))  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(2, N_VALUES - 1), (1, N_VALUES), (2 * N_VALUES,), (2, N_VALUES, 1)], ids=str)
def test_arrays_of_another_shape_are_refused(llm: LLM, shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidRequestError, match=r"must be writeable with \(2, 64\)"):
        llm.embed(["a", "b"], out=np.zeros(shape, np.float32))


def test_array_that_cannot_be_written_is_refused(llm: LLM) -> None:
    out = np.zeros((1, N_VALUES), np.float32)
    out.flags.writeable = False
    with pytest.raises(InvalidRequestError, match="must be writeable"):
        llm.embed(["a"], out=out)


def test_array_that_is_too_short_for_a_generator_is_refused(llm: LLM) -> None:
    with pytest.raises(InvalidRequestError, match="out has 3 rows, and there are more texts"):
        llm.embed(iter("abcd"), out=np.zeros((3, N_VALUES), np.float32))
    assert llm.embed(iter("abc"), out=np.zeros((3, N_VALUES), np.float32)).any(axis=1).all()


# -------------------------------------------------------------------------------------------------------- many texts


@pytest.mark.parametrize(("n", "step_tokens"), [(3000, 512), (700, 16)])
def test_rows_are_in_the_order_of_the_texts(fake_engine: MakeEngine, n: int, step_tokens: int) -> None:
    llm = LLM(fake_engine(step_tokens=step_tokens))
    texts = numbered(n)
    expected = one_by_one(llm, texts)
    assert len(np.unique(expected, axis=0)) == n
    assert np.array_equal(llm.embed(texts), expected)
    assert np.array_equal(llm.embed(iter(texts)), expected)


def test_texts_of_many_tokens_keep_their_order(llm: LLM) -> None:
    texts = [f"{i} " * n for i, n in enumerate((9000, 1, 5000, 12000, 3, 1, 7000))]
    assert np.array_equal(llm.embed(texts), one_by_one(llm, texts))
    found = llm.embed_tokens(texts)
    assert [len(rows) for rows in found] == [len(text) for text in texts]
    assert np.array_equal(found[3], llm.embed_tokens(texts[3]))


@pytest.mark.parametrize(("n", "n_bytes", "n_ahead"), [(10_000, 10, 4_000), (500, 2_000, 150)])
def test_texts_are_read_as_they_are_needed(llm: LLM, n: int, n_bytes: int, n_ahead: int) -> None:
    n_read = 0
    n_read_when_done: list[int] = []

    def texts() -> Iterator[str]:
        nonlocal n_read
        for i in range(n):
            n_read += 1
            yield f"text {i}".ljust(n_bytes)

    llm.embed(texts(), progress=lambda *_: n_read_when_done.append(n_read))
    assert n_read_when_done[0] < n_ahead
    assert n_read_when_done[-1] == n


def test_progress_tells_how_many_are_done(llm: LLM) -> None:
    seen: list[tuple[int, int | None]] = []
    llm.embed(numbered(2500), progress=lambda n_done, n: seen.append((n_done, n)))
    assert [n for _, n in seen] == [2500] * len(seen)
    assert [n_done for n_done, _ in seen] == sorted({n_done for n_done, _ in seen})
    assert len(seen) > 1
    assert seen[-1] == (2500, 2500)
    seen.clear()
    llm.embed(iter(["a"]), progress=lambda n_done, n: seen.append((n_done, n)))
    assert seen == [(1, None)]


# ------------------------------------------------------------------------------------------------- ranks and labels


def test_documents_are_ranked_by_their_scores(llm: LLM) -> None:
    documents = numbered(50)
    scores = llm.rerank_scores("query", documents)
    assert is_float32(scores, 50)
    ranked = llm.rerank("query", documents)
    assert [one.index for one in ranked] == np.argsort(-scores, kind="stable").tolist()
    assert [one.score for one in ranked] == sorted(scores.tolist(), reverse=True)
    assert llm.rerank("query", iter(documents), top_n=3) == ranked[:3]
    assert llm.rerank("query", documents, top_n=99) == ranked


def test_documents_of_the_same_score_keep_their_order(llm: LLM) -> None:
    assert [one.index for one in llm.rerank("query", ["same"] * 20)] == list(range(20))


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"top_n": 0}, InvalidRequestError, "top_n is 0 but must be at least 1"),
        ({"top_n": True}, TypeError, "top_n must be int, not bool"),
        ({"pooling": "mean"}, TypeError, "unknown option 'pooling'"),
        ({"truncated": True}, TypeError, "did you mean 'truncate'"),
        ({"documents": "a text"}, TypeError, "documents must be an iterable of texts, not str"),
    ],
    ids=str,
)
def test_ranks_that_are_not_possible_are_refused(
    llm: LLM, options: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        llm.rerank("query", **{"documents": ["a"], **options})


def test_text_has_the_label_of_a_model_without_names(llm: LLM) -> None:
    one = llm.classify("a text")
    assert (one.label, list(one.probabilities)) == ("LABEL_0", ["LABEL_0"])
    assert 0 < one.probabilities["LABEL_0"] < 1
    assert llm.classify(["a text", "other"])[0] == one
    assert llm.classify(list(b"a text")) == one
