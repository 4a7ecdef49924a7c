"""The files in ``fixtures/``: what each is, that the tool writes them, and that text goes through every one of them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
import pytest
import tiny_models as tiny

from inllama import Adapter, Batch, Context, Model, ModelLoadError, Sampler, UnsupportedError, samplers

TOOL = Path(__file__).parents[2] / "tools" / "make_fixtures.py"
FOLDER = tiny.path_of("llama").parent
PROJECTORS = ("mmproj",)
GENERATING = ("llama", "moe", "gemma", "mamba", "hybrid", "t5")
ENCODING = ("bert_mean", "bert_cls", "rank")


@dataclass(frozen=True)
class Facts:
    """What a model says of itself."""

    architecture: str
    tokenizer: str
    rope: str
    n_layer: int
    heads: tuple[int, int] = (4, 2)
    n_swa: int = 0
    is_recurrent: bool = False
    is_hybrid: bool = False
    has_encoder: bool = False
    start: int | None = None
    pooling: str = "none"
    labels: tuple[str, ...] = ()
    n_ctx_train: int = 512


FACTS = {
    "llama": Facts("llama", "spm", "norm", 3),
    "moe": Facts("llama", "spm", "norm", 2),
    "gemma": Facts("gemma3", "spm", "neox", 4, n_swa=8),
    "mamba": Facts("mamba", "spm", "none", 3, heads=(0, 0), is_recurrent=True),
    "hybrid": Facts("lfm2", "spm", "neox", 4, heads=(4, 0), is_hybrid=True),
    "t5": Facts("t5", "ugm", "none", 2, heads=(4, 4), has_encoder=True, start=0),
    "bert_mean": Facts("bert", "wpm", "neox", 2, heads=(4, 4), pooling="mean", n_ctx_train=64),
    "bert_cls": Facts("bert", "wpm", "neox", 2, heads=(4, 4), pooling="cls", n_ctx_train=64),
    "rank": Facts("bert", "wpm", "neox", 2, heads=(4, 4), pooling="rank", labels=tiny.LABELS, n_ctx_train=64),
}


@pytest.fixture(params=GENERATING)
def generating(request: pytest.FixtureRequest) -> Model:
    loaded: Model = request.getfixturevalue(request.param)
    return loaded


def test_every_model_in_the_folder_is_tested() -> None:
    assert set(FACTS) == set(tiny.MODELS) == {*GENERATING, *ENCODING}
    assert {path.stem for path in FOLDER.glob("*.gguf")} == {*tiny.MODELS, *tiny.ADAPTERS, *PROJECTORS}


def test_the_files_are_what_the_tool_writes() -> None:
    check = subprocess.run(
        [sys.executable, str(TOOL), "--check"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (check.returncode, check.stdout) == (0, ""), check


def test_the_tool_finds_a_changed_file(tmp_path: Path) -> None:
    for path in FOLDER.glob("*.gguf"):
        content = bytearray(path.read_bytes())
        if path.stem in ("mmproj", "moe"):
            content[-1] ^= 1
        if path.stem != "rank":
            (tmp_path / path.name).write_bytes(content)
    check = subprocess.run(
        [sys.executable, str(TOOL), str(tmp_path), "--check"], capture_output=True, text=True, timeout=60, check=False
    )
    assert check.returncode == 1
    assert sorted(Path(line.split()[0]).stem for line in check.stdout.splitlines()) == ["mmproj", "moe", "rank"]


def test_the_files_are_small_enough_for_the_repository() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= tiny.MAX_BYTES


@pytest.mark.parametrize("name", FACTS)
def test_a_model_says_what_it_is(name: str, request: pytest.FixtureRequest) -> None:
    model: Model = request.getfixturevalue(name)
    context = Context(model, **tiny.EXACT, embeddings=name in ENCODING)
    found = Facts(
        architecture=model.architecture,
        tokenizer=model.tokenizer.type,
        rope=model.rope_type,
        n_layer=model.n_layer,
        heads=(model.n_head, model.n_head_kv),
        n_swa=model.n_swa,
        is_recurrent=model.is_recurrent,
        is_hybrid=model.is_hybrid,
        has_encoder=model.has_encoder,
        start=model.decoder_start_token,
        pooling=context.pooling,
        labels=tuple(model.classifier_labels),
        n_ctx_train=model.n_ctx_train,
    )
    assert found == FACTS[name]
    assert (model.n_embd, model.n_embd_out, model.tokenizer.n_tokens) == (64, 64, tiny.N_VOCAB)
    assert model.has_decoder
    assert model.quantization == "all F32"
    assert 4 * model.n_params == model.size_bytes
    assert context.is_causal == (name not in ENCODING)
    assert context.model is model or context.model.path == model.path


@pytest.mark.parametrize("name", ["llama", "moe", "gemma", "mamba", "hybrid"])
@pytest.mark.parametrize("text", ["plain words", "  two  spaces ", "é€🙂 and a\ttab\n", "", "</s> is text"])
def test_any_text_survives_a_vocabulary_of_bytes(name: str, text: str, request: pytest.FixtureRequest) -> None:
    tokenizer = request.getfixturevalue(name).tokenizer
    tokens = tokenizer.encode(text)
    assert tokens[0] == tokenizer.bos == tiny.BOS
    assert tokenizer.decode(tokens) == text
    assert len(tokens) == 1 + len(text.encode())
    decoder = tokenizer.decoder()
    assert "".join(decoder.push(token) for token in tokens.tolist()) + decoder.flush() == text


@pytest.mark.parametrize("name", ENCODING)
def test_lower_case_words_survive_word_pieces(name: str, request: pytest.FixtureRequest) -> None:
    tokenizer = request.getfixturevalue(name).tokenizer
    tokens = tokenizer.encode("the Quick fox")
    assert (tokens[0], tokens[-1]) == (tokenizer.bos, tokenizer.sep)
    assert tokenizer.decode(tokens[1:-1]) == " the quick fox"


def test_lower_case_words_survive_unigrams(t5: Model) -> None:
    tokens = t5.tokenizer.encode("the quick fox")
    assert tokens[-1] == t5.tokenizer.eos
    assert t5.tokenizer.decode(tokens) == "the quick fox"


def generate(model: Model, sampler: Sampler, n: int = 12) -> list[int]:
    context = tiny.exact_context(model)
    context.decode(Batch(tiny.random_tokens(9, 8)))
    tokens = []
    for _ in range(n):
        tokens.append(sampler.sample(context))
        context.decode(Batch(tokens[-1:]))
    return tokens


def test_the_greedy_sampler_takes_the_largest_logit(generating: Model) -> None:
    tokens = generate(generating, Sampler(generating, [samplers.greedy()]))
    prompt = tiny.random_tokens(9, 8)
    rows = tiny.fresh_rows(generating, prompt + tokens[:-1])
    assert tokens == rows[len(prompt) - 1 :].argmax(axis=1).tolist()
    assert len(set(tokens)) > 1


def test_a_seed_gives_the_same_tokens_again(generating: Model) -> None:
    def sampled(seed: int) -> list[int]:
        stages = [samplers.top_k(40), samplers.temperature(1.5), samplers.dist(seed=seed)]
        return generate(generating, Sampler(generating, stages))

    assert sampled(1) == sampled(1)
    assert sampled(1) != sampled(2)


def test_a_grammar_decides_the_text(generating: Model) -> None:
    sampler = Sampler(generating, [samplers.grammar('root ::= "yes" | "no"'), samplers.greedy()])
    context = tiny.exact_context(generating)
    context.decode(Batch(tiny.random_tokens(9, 8)))
    tokens = []
    while not tokens or not generating.tokenizer.is_end(tokens[-1]):
        tokens.append(sampler.sample(context))
        context.decode(Batch(tokens[-1:]))
    assert generating.tokenizer.decode(tokens) in ("yes", "no")


def test_views_of_logits_are_the_logits(generating: Model) -> None:
    context = tiny.exact_context(generating)
    context.decode(Batch(tiny.random_tokens(9, 8), outputs="all"))
    for row in (0, 4, -1):
        view = context.logits(row, copy=False)
        assert np.array_equal(view, context.logits(row))
        assert view.shape == (tiny.N_VOCAB,)


@pytest.mark.parametrize("name", ENCODING)
def test_an_encoder_has_no_memory(name: str, request: pytest.FixtureRequest) -> None:
    context = Context(request.getfixturevalue(name), **tiny.EXACT, embeddings=True)
    with pytest.raises(UnsupportedError, match="no memory"):
        _ = context.memory
    tokens = tiny.random_tokens(12, 8)
    context.decode(Batch(tokens))
    first = context.sequence_embedding()
    context.encode(Batch(tokens, sequence=2))
    assert tiny.difference(context.sequence_embedding(2), first) <= tiny.SAME_TOLERANCE


@pytest.mark.parametrize("name", ENCODING)
def test_texts_of_an_encoder_do_not_see_each_other(name: str, request: pytest.FixtureRequest) -> None:
    context = Context(request.getfixturevalue(name), **tiny.EXACT, embeddings=True)
    texts = {2: tiny.random_tokens(20, 8), 0: tiny.random_tokens(3, 9), 3: tiny.random_tokens(31, 10)}
    alone = {}
    for sequence, text in texts.items():
        context.encode(Batch(text))
        alone[sequence] = context.sequence_embedding()
    batch = Batch()
    for position in range(31):  # row by row
        for sequence, text in texts.items():
            if position < len(text):
                batch.add([text[position]], sequence=sequence, positions=[position])
    context.encode(batch)
    for sequence, expected in alone.items():
        assert tiny.difference(context.sequence_embedding(sequence), expected) <= tiny.SAME_TOLERANCE


def test_every_label_has_a_score(rank: Model) -> None:
    context = Context(rank, **tiny.EXACT, embeddings=True)
    scores = []
    for seed in range(4):
        context.encode(Batch([101, *tiny.random_tokens(10, seed), 102]))
        scores.append(context.sequence_embedding())
    assert {score.shape for score in scores} == {(len(tiny.LABELS),)}
    assert np.all(np.ptp(scores, axis=0) > 10 * tiny.GOLDEN_TOLERANCE)


def test_the_projector_says_what_it_is(mmproj_path: Path) -> None:
    entries = {name: field.contents() for name, field in gguf.GGUFReader(mmproj_path).fields.items()}
    assert entries["general.architecture"] == "clip"
    assert entries["general.type"] == "mmproj"
    assert entries["clip.has_vision_encoder"] is True
    assert entries["clip.projector_type"] == "mlp"
    assert entries["clip.vision.feature_layer"] == [entries["clip.vision.block_count"]] == [2]


def test_the_projector_fits_the_llama(llama: Model, mmproj_path: Path) -> None:
    entries = gguf.GGUFReader(mmproj_path).fields
    tensors = tiny.read_tensors(mmproj_path)
    assert tensors["mm.2.weight"].shape[0] == entries["clip.vision.projection_dim"].contents() == llama.n_embd
    width = entries["clip.vision.embedding_length"].contents()
    n_patch = entries["clip.vision.patch_size"].contents()
    n_patches = (entries["clip.vision.image_size"].contents() // n_patch) ** 2
    assert tensors["v.patch_embd.weight"].shape == (width, 3, n_patch, n_patch)
    assert tensors["v.position_embd.weight"].shape == (n_patches, width) == (16, 32)
    assert tensors["mm.0.weight"].shape == (llama.n_embd, width)


def test_the_projector_has_finite_weights_of_f32(mmproj_path: Path) -> None:
    assert {tensor.tensor_type for tensor in gguf.GGUFReader(mmproj_path).tensors} == {gguf.GGMLQuantizationType.F32}
    for name, weights in tiny.read_tensors(mmproj_path).items():
        assert np.isfinite(weights).all(), name
        assert weights.std() > 0.01, name


@pytest.mark.parametrize("vocab_only", [False, True])
def test_the_projector_is_no_model(mmproj_path: Path, vocab_only: bool) -> None:
    with pytest.raises(ModelLoadError, match="CLIP") as raised:
        Model(mmproj_path, vocab_only=vocab_only)
    assert raised.value.path == str(mmproj_path)
    assert raised.value.reason


def test_the_projector_is_no_adapter(llama: Model, mmproj_path: Path) -> None:
    with pytest.raises(ModelLoadError) as raised:
        Adapter(llama, mmproj_path)
    assert raised.value.path == str(mmproj_path)
    tiny.assert_decodes(Context(llama, **tiny.SMALL))
