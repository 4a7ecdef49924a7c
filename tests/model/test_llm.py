"""``LLM.generate`` and ``LLM.stream`` on the model inside the package."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from engines import EXACT, PROMPT, PROMPTS

from inllama import (
    LLM,
    Chunk,
    Completion,
    ContextFullError,
    InvalidRequestError,
    ModelLoadError,
    SamplingParams,
)
from inllama.model import demo_path

DEMO = demo_path()


def text_of(chunks: list[Chunk], index: int = 0) -> str:
    return "".join(chunk.text for chunk in chunks if chunk.index == index)


def tokens_of(chunks: list[Chunk]) -> tuple[int, ...]:
    return tuple(token for chunk in chunks for token in chunk.token_ids)


def test_progress_of_loading_is_told_and_can_stop_it(llm: LLM) -> None:
    seen: list[float] = []
    LLM(progress=seen.append, n_threads=1).close()
    assert (seen[0], seen[-1]) == (0.0, 1.0)
    assert seen == sorted(seen)
    with pytest.raises(ModelLoadError, match="progress") as raised:
        LLM(progress=lambda done: done < 0.5)
    assert raised.value.cancelled is True
    for model in (llm.engine, llm.model):
        with pytest.raises(TypeError, match="progress"):
            LLM(model, progress=seen.append)


# ---------------------------------------------------------------------------------------- stream, seed, randomness


@pytest.mark.parametrize("seed", range(5))
def test_stream_gives_what_generate_gives(llm: LLM, seed: int) -> None:
    whole = llm.generate(PROMPT, seed=seed, max_tokens=60)
    chunks = list(llm.stream(PROMPT, seed=seed, max_tokens=60))
    assert text_of(chunks) == whole.text
    assert tokens_of(chunks) == whole.token_ids
    assert chunks[-1].finish_reason == whole.finish_reason
    assert [chunk.finish_reason for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)


def test_stream_result_is_the_same_however_much_was_read(llm: LLM) -> None:
    llm.generate(PROMPT, max_tokens=1)  # all that follow find the prompt in memory
    whole = llm.generate(PROMPT, seed=3, max_tokens=30)
    for n_read in (0, 1, 5, 10_000):
        stream = llm.stream(PROMPT, seed=3, max_tokens=30)
        for _ in zip(range(n_read), stream, strict=False):
            pass
        result = stream.result()
        assert result.choices == whole.choices
        assert result.usage == whole.usage
        assert stream.result().choices == result.choices


def test_greedy_is_deterministic_whatever_the_seed(llm: LLM) -> None:
    texts = {llm.generate(PROMPT, temperature=0, seed=seed, max_tokens=60).text for seed in (None, 1, 2)}
    assert len(texts) == 1


def test_same_seed_gives_the_same_and_others_differ(llm: LLM) -> None:
    texts = [llm.generate(PROMPT, seed=seed, max_tokens=40).text for seed in (1, 1, 2, 3, 4)]
    assert texts[0] == texts[1]
    assert len(set(texts)) > 2


def test_drawn_seed_is_reported_and_repeats_the_text(llm: LLM) -> None:
    first = llm.generate(PROMPT, max_tokens=40)
    second = llm.generate(PROMPT, max_tokens=40)
    assert first.seed != second.seed
    assert llm.generate(PROMPT, max_tokens=40, seed=first.seed).text == first.text


def test_another_llm_of_the_same_model_gives_the_same(llm: LLM) -> None:
    expected = llm.generate(PROMPT, seed=11, max_tokens=40).text
    with LLM(llm.model, **EXACT) as other:
        assert other.generate(PROMPT, seed=11, max_tokens=40).text == expected


def test_reproducible_request_gives_the_same_whatever_else_runs() -> None:
    """With quantized weights and keys, where what is computed together does change a text."""
    options: dict[str, Any] = {"seed": 5, "max_tokens": 60, "reproducible": True}
    with LLM(DEMO, n_threads=1) as one:
        expected = one.generate(PROMPT, **options).text
        others = [one.stream(prompt, ignore_eos=True, max_tokens=200) for prompt in PROMPTS]
        assert [one.generate(PROMPT, **options).text for _ in range(3)] == [expected] * 3
        for other in others:
            other.close()
    with LLM(DEMO, n_threads=1) as another:
        another.generate("Something else", max_tokens=20, reproducible=True)
        assert another.generate(PROMPT, **options).text == expected


def test_token_ids_are_those_of_the_text(llm: LLM) -> None:
    result = llm.generate(PROMPT, seed=5, max_tokens=50)
    assert llm.model.tokenizer.decode(result.token_ids) == result.text


# ---------------------------------------------------------------------------------------------- usage and results


def test_usage_counts_the_tokens(llm: LLM) -> None:
    n_prompt = len(llm.model.tokenizer.encode(PROMPT))
    result = llm.generate(PROMPT, ignore_eos=True, max_tokens=9)
    usage = result.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (n_prompt, 9, n_prompt + 9)
    assert 0 < result.timings.prefill_s <= result.timings.first_token_s <= result.timings.total_s


def test_usage_counts_all_outputs(llm: LLM) -> None:
    result = llm.generate(PROMPT, ignore_eos=True, max_tokens=6, n=3)
    assert result.usage.completion_tokens == 18
    assert result.usage.prompt_tokens == len(llm.model.tokenizer.encode(PROMPT))


def test_several_outputs_have_indices_and_seeds_of_their_own(llm: LLM) -> None:
    result = llm.generate(PROMPT, n=4, seed=7, max_tokens=30)
    assert [choice.index for choice in result.choices] == [0, 1, 2, 3]
    assert len({choice.seed for choice in result.choices}) == 4
    assert len({choice.text for choice in result.choices}) > 1
    assert result.text == result.choices[0].text
    for choice in result.choices:
        assert llm.generate(PROMPT, seed=choice.seed, max_tokens=30).text == choice.text


def test_stream_of_several_outputs_marks_each_chunk(llm: LLM) -> None:
    whole = llm.generate(PROMPT, n=3, seed=7, max_tokens=20)
    chunks = list(llm.stream(PROMPT, n=3, seed=7, max_tokens=20))
    assert [text_of(chunks, index) for index in range(3)] == [choice.text for choice in whole.choices]
    assert [chunk.index for chunk in chunks if chunk.finish_reason] == [0, 1, 2]


def test_largest_seed_is_possible_with_several_outputs(llm: LLM) -> None:
    result = llm.generate(PROMPT, n=3, seed=2**32 - 2, max_tokens=2)
    assert len({choice.seed for choice in result.choices}) == 3


def test_request_id_is_kept_or_drawn(llm: LLM) -> None:
    assert llm.generate(PROMPT, max_tokens=1, request_id="mine").request_id == "mine"
    stream = llm.stream(PROMPT, max_tokens=1)
    assert stream.request_id == stream.result().request_id
    assert stream.request_id != llm.stream(PROMPT, max_tokens=1).request_id


def test_to_dict_has_the_shape_of_a_text_completion(llm: LLM) -> None:
    result = llm.generate(PROMPT, max_tokens=4, ignore_eos=True, n=2, request_id="one")
    plain = result.to_dict()
    assert (plain["id"], plain["object"], plain["model"]) == ("one", "text_completion", "demo.gguf")
    assert [choice["text"] for choice in plain["choices"]] == [choice.text for choice in result.choices]
    assert plain["usage"]["total_tokens"] == result.usage.total_tokens


def test_results_and_errors_can_be_pickled(llm: LLM) -> None:
    result = llm.generate(PROMPT, max_tokens=4)
    assert pickle.loads(pickle.dumps(result)) == result
    with pytest.raises(ContextFullError) as caught:
        llm.generate([1] * 2100)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (type(copy), str(copy), copy.n_prompt) == (ContextFullError, str(caught.value), 2100)


# ------------------------------------------------------------------------------------------------ prompts


def test_prompt_of_token_ids_equals_the_text(llm: LLM) -> None:
    expected = llm.generate(PROMPT, temperature=0, max_tokens=20).text
    tokens = llm.model.tokenizer.encode(PROMPT)
    for prompt in (tokens, tokens.tolist(), tuple(tokens.tolist()), tokens.astype(np.int64), tokens.astype(np.uint16)):
        assert llm.generate(prompt, temperature=0, max_tokens=20).text == expected


def test_list_of_prompts_is_answered_in_order(llm: LLM) -> None:
    alone = [llm.generate(prompt, temperature=0, max_tokens=12).text for prompt in PROMPTS]
    rows = llm.generate(PROMPTS, temperature=0, max_tokens=12)
    assert [row.text for row in rows] == alone
    assert [row.text for row in llm.generate(PROMPTS[::-1], temperature=0, max_tokens=12)] == alone[::-1]


def test_list_of_token_prompts(llm: LLM) -> None:
    arrays = llm.model.tokenizer.encode_batch(PROMPTS)
    alone = [llm.generate(prompt, temperature=0, max_tokens=8).text for prompt in PROMPTS]
    assert [row.text for row in llm.generate(arrays, temperature=0, max_tokens=8)] == alone
    lists = [array.tolist() for array in arrays]
    assert [row.text for row in llm.generate(lists, temperature=0, max_tokens=8)] == alone


def test_list_of_one_and_of_none(llm: LLM) -> None:
    assert llm.generate([], max_tokens=1) == []
    (row,) = llm.generate([PROMPT], max_tokens=1)
    assert isinstance(row, Completion)


def test_empty_text_is_continued_from_the_beginning_token(llm: LLM) -> None:
    result = llm.generate("", temperature=0, max_tokens=5, ignore_eos=True)
    assert result.usage.prompt_tokens == 1
    assert result.usage.completion_tokens == 5


def test_first_failing_prompt_raises_with_its_index(llm: LLM) -> None:
    with pytest.raises(ContextFullError) as caught:
        llm.generate([PROMPT, PROMPT, "long " * 3000, "long " * 4000], max_tokens=1)
    assert caught.value.index == 2


def test_type_error_in_a_list_of_prompts_is_raised(llm: LLM) -> None:
    with pytest.raises(TypeError):
        llm.generate([PROMPT, None], max_tokens=1)  # type: ignore[list-item]


def test_on_error_return_puts_errors_into_their_rows(llm: LLM) -> None:
    rows = llm.generate([PROMPT, "long " * 3000, PROMPT], temperature=0, max_tokens=3, on_error="return")
    assert isinstance(rows[0], Completion)
    assert isinstance(rows[1], ContextFullError)
    assert isinstance(rows[2], Completion)
    assert rows[0].text == rows[2].text


def test_prompt_of_every_length_is_computed_whole(llm: LLM) -> None:
    """Prompts are computed in chunks; the size of a chunk must not show."""
    tokens = [int(token) for token in llm.generate(PROMPT, seed=2, ignore_eos=True).token_ids]
    with LLM(llm.model, step_tokens=16, **EXACT) as small, LLM(llm.model, prefix_cache=False, **EXACT) as large:
        for n_prompt in (1, 15, 16, 17, 31, 32, 33, 100, 400):
            prompt = tokens[:n_prompt]
            expected = large.generate(prompt, temperature=0, max_tokens=4, ignore_eos=True).token_ids
            assert small.generate(prompt, temperature=0, max_tokens=4, ignore_eos=True).token_ids == expected


def test_control_tokens_in_a_prompt_are_text_unless_asked_for(llm: LLM) -> None:
    tokenizer = llm.model.tokenizer
    assert tokenizer.eos is not None
    spelling = tokenizer.token_text(tokenizer.eos)
    plain = llm.generate(spelling, max_tokens=1).usage.prompt_tokens
    special = llm.generate(spelling, max_tokens=1, parse_special=True).usage.prompt_tokens
    assert special == 2
    assert plain > special


# ------------------------------------------------------------------------------------------ defaults and options


def test_keyword_overrides_the_params_object(llm: LLM) -> None:
    params = SamplingParams(temperature=0, max_tokens=5, ignore_eos=True)
    assert llm.generate(PROMPT, params).usage.completion_tokens == 5
    assert llm.generate(PROMPT, params, max_tokens=3).usage.completion_tokens == 3


def test_default_params_come_from_the_metadata_over_ours(llm: LLM) -> None:
    metadata = llm.model.metadata
    params = llm.default_params
    ours = SamplingParams.defaults()
    assert params.temperature == pytest.approx(float(metadata["general.sampling.temp"]))
    assert params.top_k == int(metadata["general.sampling.top_k"])
    assert params.min_p == ours.min_p
    assert params.temperature != ours.temperature
    assert params.max_tokens is None
    assert params.seed is None


def test_request_without_options_uses_the_default_params(llm: LLM) -> None:
    """With the temperature of the model file, not with ours."""
    for seed in range(3):
        explicit = llm.generate(PROMPT, llm.default_params, seed=seed, max_tokens=60).text
        assert llm.generate(PROMPT, seed=seed, max_tokens=60).text == explicit
        assert llm.generate(PROMPT, SamplingParams(seed=seed, max_tokens=60)).text == explicit


def test_params_object_leaves_the_rest_to_the_model(llm: LLM) -> None:
    temperature = llm.default_params.temperature
    texts = [llm.generate(PROMPT, SamplingParams(top_k=30), seed=seed, max_tokens=60).text for seed in range(5)]
    explicit = [
        llm.generate(PROMPT, top_k=30, temperature=temperature, seed=seed, max_tokens=60).text for seed in range(5)
    ]
    assert texts == explicit


def copy_with_metadata(target: Path, entries: dict[str, float]) -> Path:
    """Write the demo model's vocabulary and weights with other recommendations."""
    reader = gguf.GGUFReader(DEMO)
    writer = gguf.GGUFWriter(target, "llama")
    for field in reader.fields.values():
        if field.name.startswith(("GGUF.", "general.architecture", "general.sampling.")):
            continue
        sub_type = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), field.types[0], sub_type)
    for name, value in entries.items():
        writer.add_float32(name, value)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


def test_senseless_recommendations_are_logged_and_ignored(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    entries = {"general.sampling.temp": -3.0, "general.sampling.top_p": 0.5, "general.sampling.min_p": float("nan")}
    path = copy_with_metadata(tmp_path / "copy.gguf", entries)
    with caplog.at_level("WARNING", logger="inllama"), LLM(path, n_threads=1) as llm:
        assert llm.default_params.temperature == SamplingParams.defaults().temperature
        assert llm.default_params.min_p == SamplingParams.defaults().min_p
        assert llm.default_params.top_p == pytest.approx(0.5)
        assert llm.generate(PROMPT, temperature=0, max_tokens=3).usage.completion_tokens == 3
    messages = [record.getMessage() for record in caplog.records if record.name == "inllama"]
    assert sum("general.sampling.temp" in message for message in messages) == 1
    assert sum("general.sampling.min_p" in message for message in messages) == 1


def test_n_ctx_is_the_room_of_a_request(llm: LLM) -> None:
    with LLM(llm.model, n_ctx=256, n_threads=1) as small:
        result = small.generate(PROMPT, ignore_eos=True)
        assert result.usage.total_tokens == 256
        with pytest.raises(ContextFullError) as caught:
            small.generate([1] * 256)
        assert caught.value.n_ctx == 256
        assert caught.value.n_prompt == 256


@pytest.mark.parametrize(
    "options",
    [
        {"n_threads": 2},
        {"prefill_chunk": 1},
        {"flash_attention": "off"},
        {"flash_attention": "on"},
        {"kv_type_k": "f32", "kv_type_v": "f32"},
        {"kv_type_k": "q8_0", "kv_type_v": "q8_0", "flash_attention": "on"},
        {"load_mode": "mmap"},
        {"load_mode": "none"},
        {"repack": False},
        {"check_tensors": True},
        {"gpu_layers": 0},
    ],
    ids=str,
)
def test_every_option_gives_text_of_the_same_kind(llm: LLM, options: dict[str, object]) -> None:
    expected = llm.generate(PROMPT, temperature=0, max_tokens=4).text
    with LLM(**({"n_threads": 1} | options)) as other:
        assert other.generate(PROMPT, temperature=0, max_tokens=4).text == expected


def test_options_of_the_context_reach_it(llm: LLM) -> None:
    with LLM(llm.model, n_ctx=256, step_tokens=20) as other:
        assert other.generate([1] * 100, max_tokens=1).usage.completion_tokens == 1
        assert (other.engine.n_ctx, other.stats().kv_cells) == (256, 256)
        assert other.stats().steps == 5


def test_unsupported_combination_is_an_error_and_not_ignored() -> None:
    with pytest.raises(InvalidRequestError, match="flash"):
        LLM(kv_type_v="q8_0", flash_attention="off").generate(PROMPT)


def test_demo_model_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="inllama"), LLM(n_threads=1):
        pass
    lines = [record for record in caplog.records if record.name == "inllama"]
    assert len(lines) == 1
    assert "demo" in lines[0].getMessage()


def test_repr_says_model_and_state(llm: LLM) -> None:
    assert "demo.gguf" in repr(llm)
    closed = LLM(n_threads=1)
    closed.close()
    assert "closed" in repr(closed)
