"""Scores and labels: the reference's numbers, the tokens of a query and a document, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models as tiny
from engines import EXACT
from fixtures.gguf_file import Value, write_gguf
from numpy.typing import NDArray

from inllama import LLM, Batch, Context, ContextFullError, Engine, Model, UnsupportedError
from inllama._core import RankPrompt

CLS, SEP = 101, 102
TEMPLATE = "<q>{query}</q>{document}"
DOCUMENTS = ["words", "a", "the same words in another order", "zzzz", "a"]
# Largest difference that computing texts together makes.
TOGETHER = 1e-5


def softmax(logits: NDArray[np.float32]) -> list[float]:
    parts = np.exp(logits.astype(float) - logits.max())
    values: list[float] = (parts / parts.sum()).tolist()
    return values


def qwen3(path: Path, template: str) -> Path:
    """A decoder of one layer that says yes or no about what a template makes of query and document."""
    n, head, block = tiny.N_EMBD, 16, "blk.0"
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (tiny.N_VOCAB, n),
        "output_norm.weight": (n,),
        "cls.output.weight": (2, n),
        f"{block}.ffn_gate.weight": (tiny.N_FF, n),
        f"{block}.ffn_up.weight": (tiny.N_FF, n),
        f"{block}.ffn_down.weight": (n, tiny.N_FF),
    }
    shapes |= {f"{block}.{name}.weight": (n, n) for name in ("attn_q", "attn_k", "attn_v", "attn_output")}
    shapes |= {f"{block}.{name}.weight": (n,) for name in ("attn_norm", "ffn_norm")}
    shapes |= {f"{block}.{name}.weight": (head,) for name in ("attn_q_norm", "attn_k_norm")}
    entries: dict[str, Value] = {
        ".context_length": 512,
        ".embedding_length": n,
        ".block_count": 1,
        ".feed_forward_length": tiny.N_FF,
        ".attention.head_count": n // head,
        ".attention.key_length": head,
        ".attention.value_length": head,
        ".attention.layer_norm_rms_epsilon": 1e-5,
        ".pooling_type": tiny.POOLING_RANK,
        ".classifier.output_labels": ["yes", "no"],
        "tokenizer.chat_template.rerank": template,
    }
    return write_gguf(path, "qwen3", entries | tiny.byte_vocabulary(), shapes)


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    with Model(qwen3(tmp_path_factory.mktemp("judge") / "judge.gguf", TEMPLATE)) as loaded:
        yield loaded


@pytest.fixture
def llm(rank: Model) -> Iterator[LLM]:
    with Engine(rank, **EXACT) as engine:
        yield LLM(engine)


@pytest.fixture
def judging(judge: Model) -> Iterator[LLM]:
    with Engine(judge, **EXACT) as engine:
        yield LLM(engine)


def logits_of(model: Model, tokens: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return the scores that a context gives."""
    with Context(model, **{**tiny.EXACT, "n_ubatch": 512}, embeddings=True) as context:
        compute = context.decode if model.has_decoder and model.architecture != "bert" else context.encode
        compute(Batch(tokens, outputs="all"))
        return context.sequence_embedding().copy()


# ------------------------------------------------------------------------------------------------------- the numbers


def test_probabilities_equal_the_reference(llm: LLM) -> None:
    with np.load(tiny.path_of("rank").with_name(tiny.GOLDEN)) as golden:
        texts = [str(golden[f"rank/{index}/text"]) for index in range(5)]
        tokens = [golden[f"rank/{index}/tokens"].tolist() for index in range(5)]
        logits = [golden[f"rank/{index}/values"] for index in range(5)]
    for found in (llm.classify(texts), llm.classify(tokens), [llm.classify(one) for one in tokens]):
        for one, expected in zip(found, logits, strict=True):
            assert tuple(one.probabilities) == tiny.LABELS
            assert list(one.probabilities.values()) == pytest.approx(softmax(expected), abs=tiny.GOLDEN_TOLERANCE)
            assert one.label == tiny.LABELS[expected.argmax()]


def test_scores_are_those_of_the_first_label(llm: LLM, rank: Model) -> None:
    pairs = [RankPrompt(rank).encode("tiny", document) for document in DOCUMENTS]
    expected = np.array([logits_of(rank, pair)[0] for pair in pairs], np.float32)
    scores = llm.rerank_scores("tiny", DOCUMENTS)
    assert tiny.difference(scores, expected) <= tiny.SAME_TOLERANCE
    assert expected.std() > 0.5
    assert scores[1] == pytest.approx(scores[4], abs=TOGETHER)


def test_documents_come_in_the_order_of_their_scores(llm: LLM) -> None:
    documents = DOCUMENTS[:4]
    scores = llm.rerank_scores("tiny", documents)
    ranked = llm.rerank("tiny", documents)
    assert [one.index for one in ranked] == np.argsort(-scores).tolist()
    assert [one.score for one in ranked] == pytest.approx(sorted(scores.tolist(), reverse=True), abs=TOGETHER)
    assert [one.index for one in llm.rerank("tiny", documents, top_n=2)] == [one.index for one in ranked[:2]]


def test_many_documents_give_the_same_as_alone(llm: LLM) -> None:
    documents = ["word " * (i % 9) + "abc"[: i % 4] + "x" for i in range(300)]
    alone = np.concatenate([llm.rerank_scores("a query", [document]) for document in documents])
    assert tiny.difference(llm.rerank_scores("a query", documents), alone) <= 5 * TOGETHER


# -------------------------------------------------------------------------------------------------------- the tokens


def test_query_and_document_stand_between_separators(rank: Model) -> None:
    query, document = (rank.tokenizer.encode(text).tolist()[1:-1] for text in ("a query", "some text"))
    made = RankPrompt(rank).encode("a query", "some text")
    assert (made.dtype.name, made.tolist()) == ("int32", [CLS, *query, SEP, *document, SEP])
    assert RankPrompt(rank).encode("", "").tolist() == [CLS, SEP, SEP]


def test_separators_that_a_text_spells_are_text(rank: Model) -> None:
    made = RankPrompt(rank).encode("[SEP] a [CLS]", "[SEP]").tolist()
    assert (made.count(CLS), made.count(SEP)) == (1, 2)


@pytest.mark.parametrize(
    ("query", "document"),
    [
        ("a", "b"),
        ("", ""),
        ("{document}", "other"),
        ("{query}", "{query}{document}"),
        ("</q>{document}", "<q>"),
        ("<s>", "</s>"),
        ("<", "/s>"),
    ],
)
def test_template_has_the_texts_as_they_are(judge: Model, query: str, document: str) -> None:
    tokens = RankPrompt(judge).encode(query, document).tolist()
    assert tokens == [tiny.BOS, *map(tiny.byte_token, f"<q>{query}</q>{document}")]


def test_special_tokens_of_the_template_are_tokens(tmp_path: Path) -> None:
    with Model(qwen3(tmp_path / "a.gguf", "<s>{document}</s>{query}</s>")) as model:
        tokens = RankPrompt(model).encode("a", "b</s>").tolist()
    text = [tiny.byte_token(character) for character in "b</s>"]
    assert tokens == [tiny.BOS, *text, tiny.EOS, tiny.byte_token("a"), tiny.EOS]


@pytest.mark.parametrize("template", ["<q>{query}</q>", "{document}", "neither"])
def test_template_without_a_place_is_refused(tmp_path: Path, template: str) -> None:
    with Model(qwen3(tmp_path / "a.gguf", template)) as model, Engine(model, n_threads=1) as engine:
        with pytest.raises(UnsupportedError, match=r"does not have \{query\} and \{document\}"):
            LLM(engine).rerank("a", ["b"])
        assert LLM(engine).classify("a").label in ("yes", "no")


def test_probabilities_of_the_model_are_left_as_they_are(judging: LLM, judge: Model) -> None:
    expected = logits_of(judge, RankPrompt(judge).encode("a", "b"))
    assert expected.sum() == pytest.approx(1)
    assert judging.rerank_scores("a", ["b"]) == pytest.approx(expected[:1], abs=TOGETHER)
    found = judging.classify(RankPrompt(judge).encode("a", "b").tolist())
    assert list(found.probabilities) == ["yes", "no"]
    assert list(found.probabilities.values()) == pytest.approx(expected.tolist(), abs=TOGETHER)


# -------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("name", ["llama", "bert_mean", "t5"])
def test_model_without_a_classifier_scores_nothing(name: str, request: pytest.FixtureRequest) -> None:
    with Engine(request.getfixturevalue(name), **EXACT) as engine:
        llm = LLM(engine)
        calls: list[Callable[[], object]] = [
            lambda: llm.rerank("a", ["b"]),
            lambda: llm.rerank_scores("a", ["b"]),
            lambda: llm.classify("a"),
        ]
        for call in calls:
            with pytest.raises(UnsupportedError, match="has no classification head"):
                call()


def test_document_that_is_too_long_says_which(llm: LLM) -> None:
    with pytest.raises(ContextFullError, match="text 1 has 84 tokens but the model takes 64") as raised:
        llm.rerank("q", ["a", "b" * 80])
    assert (raised.value.index, raised.value.n_prompt, raised.value.n_ctx) == (1, 84, 64)


def test_document_is_cut_to_what_fits(llm: LLM, rank: Model) -> None:
    found = llm.rerank_scores("q", ["b" * 80], truncate=True)
    assert len(RankPrompt(rank).encode("q", "b" * 60)) == 64
    assert tiny.difference(found, llm.rerank_scores("q", ["b" * 60])) <= TOGETHER
    with pytest.raises(ContextFullError):
        llm.rerank("q" * 80, ["a"], truncate=True)


def test_document_before_the_end_of_a_template_is_cut_too(tmp_path: Path) -> None:
    options: dict[str, Any] = {"truncate": True}
    with Model(qwen3(tmp_path / "a.gguf", "{document}|{query}")) as model, Engine(model, **EXACT) as engine:
        found = LLM(engine).rerank_scores("who?", ["b" * 600], **options)
        n_most = 512 - len("|who?") - 1
        expected = LLM(engine).rerank_scores("who?", ["b" * n_most])
    assert tiny.difference(found, expected) <= TOGETHER
