"""Which files a reference means: quantizations, parts, and what stands beside a model."""

from __future__ import annotations

import pytest

from inllama import ModelLoadError
from inllama.hub.choice import choose, mmproj_for
from inllama.hub.gguf_names import models_in, quant_of
from inllama.hub.reference import Reference

QUANTS = ["m-Q2_K.gguf", "m-Q4_0.gguf", "m-Q4_K_M.gguf", "m-Q8_0.gguf", "m-f16.gguf", "README.md"]
UNSLOTH = ["m-Q4_K_M.gguf", "m-UD-Q4_K_M.gguf", "m-UD-Q4_K_XL.gguf", "m-UD-IQ2_XXS.gguf", "mmproj-F16.gguf"]
PARTS = [f"Q8_0/m-Q8_0-0000{i}-of-00003.gguf" for i in (1, 2, 3)]


def chosen(names: list[str], text: str) -> str:
    return choose(names, Reference.parse(text)).name


@pytest.mark.parametrize(
    ("name", "quant"),
    [
        ("qwen2.5-0.5b-instruct-q4_k_m.gguf", "Q4_K_M"),
        ("Llama-3.2-1B-Instruct-UD-IQ2_XXS.gguf", "UD-IQ2_XXS"),
        ("gpt-oss-20b-mxfp4.gguf", "MXFP4"),
        ("model.Q5_1.gguf", "Q5_1"),
        ("model_Q6_K.gguf", "Q6_K"),
        ("model-BF16-00002-of-00003.gguf", "BF16"),
        ("TQ1_0/model-00001-of-00002.gguf", "TQ1_0"),
        ("m-fp16.gguf", "FP16"),
        ("Q4_0/model-Q8_0.gguf", "Q8_0"),
        ("model.gguf", None),
        ("qwen3-q.gguf", None),
    ],
)
def test_name_says_the_quantization(name: str, quant: str | None) -> None:
    assert quant_of(name) == quant


@pytest.mark.parametrize(
    ("names", "text", "expected"),
    [
        (QUANTS, "hf:a/b:Q4_0", "m-Q4_0.gguf"),
        (QUANTS, "hf:a/b:q8_0", "m-Q8_0.gguf"),
        (QUANTS, "hf:a/b:F16", "m-f16.gguf"),
        (QUANTS, "hf:a/b", "m-Q4_K_M.gguf"),
        (UNSLOTH, "hf:a/b:Q4_K_M", "m-Q4_K_M.gguf"),
        (UNSLOTH, "hf:a/b", "m-Q4_K_M.gguf"),
        (UNSLOTH, "hf:a/b:UD-Q4_K_M", "m-UD-Q4_K_M.gguf"),
        (UNSLOTH, "hf:a/b:Q4_K_XL", "m-UD-Q4_K_XL.gguf"),
        (UNSLOTH, "hf:a/b/mmproj-F16.gguf", "mmproj-F16.gguf"),
        (["only.gguf", "mmproj.gguf"], "hf:a/b", "only.gguf"),
        ([*PARTS, "m-Q4_0.gguf"], "hf:a/b:Q8_0", PARTS[0]),
        ([*PARTS, "m-Q4_0.gguf"], "hf:a/b/" + PARTS[1], PARTS[0]),
        (["explora-Q4_0.gguf", "my-lora-f16.gguf"], "hf:a/b", "explora-Q4_0.gguf"),
    ],
)
def test_reference_means_one_model(names: list[str], text: str, expected: str) -> None:
    assert chosen(names, text) == expected


@pytest.mark.parametrize(
    ("names", "text", "problem", "choices"),
    [
        (QUANTS, "hf:a/b:Q3_K_S", "has no Q3_K_S; there is Q2_K, Q4_0, Q4_K_M, Q8_0, F16; name one", 5),
        (QUANTS, "hf:a/b:Q4_K", "has no Q4_K; there is", 5),
        (
            QUANTS[:2],
            "hf:a/b",
            "has 2 models, none of them Q4_K_M; there is Q2_K, Q4_0; name one, as in hf:a/b:Q2_K",
            2,
        ),
        (["a-Q4_0.gguf", "b-Q4_0.gguf"], "hf:a/b:Q4_0", "2 models that Q4_0 fits; there is a-Q4_0.gguf, b-Q4", 2),
        (["a-Q4_0.gguf", "b.gguf"], "hf:a/b", "there is a-Q4_0.gguf, b.gguf; name one", 2),
        (QUANTS, "hf:a/b/no.gguf", "has no file 'no.gguf'; there is m-Q2_K.gguf", 5),
        (["README.md", "model.safetensors"], "hf:a/b", "has no GGUF models", 0),
        (["mmproj-F16.gguf"], "hf:a/b", "has no GGUF models", 0),
        (PARTS[:2], "hf:a/b:Q8_0", "has 2 of the 3 parts of", 0),
        ([f"m{i}-Q4_0.gguf" for i in range(30)], "hf:a/b:Q8_0", "and 10 more; name one", 30),
    ],
)
def test_what_is_not_one_model_is_refused_with_the_choices(
    names: list[str], text: str, problem: str, choices: int
) -> None:
    with pytest.raises(ModelLoadError) as raised:
        chosen(names, text)
    assert problem in str(raised.value)
    assert (raised.value.path, len(raised.value.choices)) == (text, choices)


def test_parts_belong_together_in_order() -> None:
    (model,) = models_in(reversed(PARTS))
    assert list(model.files) == PARTS
    assert model.is_complete


@pytest.mark.parametrize("name", ["m-00000-of-00003.gguf", "m-00004-of-00003.gguf", "m-1-of-3.gguf"])
def test_a_number_that_is_no_part_is_a_name(name: str) -> None:
    (model,) = models_in([name])
    assert (model.files, model.n_parts) == ((name,), 1)


@pytest.mark.parametrize(
    ("names", "model", "expected"),
    [
        (["mmproj-F32.gguf", "mmproj-F16.gguf", "mmproj-BF16.gguf"], "m-Q4_0.gguf", "mmproj-F16.gguf"),
        (["mmproj-F16.gguf", "Q8/mmproj-F32.gguf"], "Q8/m-Q8_0.gguf", "Q8/mmproj-F32.gguf"),
        (["mmproj-F16.gguf", "Q4/mmproj-F16.gguf"], "Q8/m-Q8_0.gguf", "mmproj-F16.gguf"),
        (["other-mmproj-f16.gguf", "m-7b-mmproj-f32.gguf"], "m-7b-Q8_0.gguf", "m-7b-mmproj-f32.gguf"),
        (["m-Q4_0.gguf"], "m-Q4_0.gguf", None),
    ],
)
def test_projection_is_the_nearest(names: list[str], model: str, expected: str | None) -> None:
    (found,) = models_in([model])
    assert mmproj_for(names, found) == expected
