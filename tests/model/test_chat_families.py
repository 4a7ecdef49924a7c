"""What a model's family writes is read: a template's own rendering of an answer gives back the answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chats import CALL, NO_TREE, QUESTION, TEMPLATES, WEATHER, inputs

from inllama import Model
from inllama._core import ChatParser, ChatTemplate
from inllama.model import demo_path

REASONED = {"role": "assistant", "content": "It is fine.", "reasoning_content": "Clouds, or none?"}
# Templates that render such an answer as their models write it. Others leave reasoning out of earlier turns, or write
# something else there.
CALLS = [
    "Apertus-8B-Instruct",
    "GLM-4.6",
    "GigaChat3-10B-A1.8B",
    "Kimi-K2-Instruct",
    "Kimi-K2-Thinking",
    "Kimi-K3",
    "LFM2.5-8B-A1B",
    "MiMo-VL",
    "MiniMax-M3",
    "NVIDIA-Nemotron-3-Nano-30B-A3B-BF16",
    "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use",
    "NousResearch-Hermes-3-Llama-3.1-8B-tool_use",
    "Qwen-Qwen2.5-7B-Instruct",
    "Qwen-Qwen3-0.6B",
    "Qwen3-Coder",
    "Qwen3.5-4B",
    "StepFun3.5-Flash",
    "deepseek-ai-DeepSeek-V3.1",
    "deepseek-ai-DeepSeek-V3.2",
    "deepseek-ai-DeepSeek-V4",
    "deepseek-ai-DeepSeek-V4-Flash-0731",
    "google-gemma-4-31B-it",
    "google-gemma-4-31B-it-interleaved",
    "ibm-granite-granite-4.0",
    "ibm-granite-granite-4.1",
    "inclusionai-ling-3.0-flash",
    "meetkai-functionary-medium-v3.1",
    "meetkai-functionary-medium-v3.2",
    "meta-llama-Llama-3.1-8B-Instruct",
    "meta-llama-Llama-3.2-3B-Instruct",
    "meta-llama-Llama-3.3-70B-Instruct",
    "mistralai-Ministral-3-14B-Reasoning-2512",
    "mistralai-Mistral-Nemo-Instruct-2407",
    "moonshotai-Kimi-K2",
    "muse-glimmer",
    "openai-gpt-oss-120b",
    "unsloth-mistral-Devstral-Small-2507",
]
REASONING = [
    "Bielik-11B-v3.0-Instruct",
    "Cohere2MoE",
    "GLM-4.6",
    "GLM-4.7-Flash",
    "Kimi-K3",
    "LFM2.5-8B-A1B",
    "MiniMax-M2",
    "MiniMax-M3",
    "NVIDIA-Nemotron-3-Nano-30B-A3B-BF16",
    "Qwen-Qwen3-0.6B",
    "Qwen3.5-4B",
    "Spark2.5",
    "StepFun3.5-Flash",
    "deepseek-ai-DeepSeek-V3.2",
    "deepseek-ai-DeepSeek-V4",
    "deepseek-ai-DeepSeek-V4-Flash-0731",
    "inclusionai-ling-3.0-flash",
    "mistralai-Ministral-3-14B-Reasoning-2512",
    "muse-glimmer",
    "openai-gpt-oss-120b",
    "openbmb-MiniCPM5-1B",
]
# What may stand behind an answer, and ends the output before it becomes text.
ENDS = (
    *(
        "",
        "<|im_end|>",
        "</s>",
        "<|eot_id|>",
        "<\uff5cend\u2581of\u2581sentence\uff5c>",
        "<|end_of_text|>",
        "<|END_OF_TURN_TOKEN|>",
        "<|call|>",
    ),
    *("<|eom_id|>", "<turn|>", "[e~[", "<|return|>", "<|end|>", "<|eom|>"),
)


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    with Model(demo_path(), vocab_only=True) as loaded:
        yield loaded


def template(model: Model, name: str) -> ChatTemplate:
    found = [path for path in TEMPLATES if path.stem == name]
    if not found:
        pytest.skip(NO_TREE)
    return ChatTemplate(model, Path(found[0]).read_text(encoding="utf-8"))


def written(chat: ChatTemplate, message: dict[str, Any], tools: list[Any] | None) -> tuple[ChatParser, list[str]]:
    """Return the parser of an answer, and how the template renders ``message`` as one, with each end taken off."""
    asked = chat.prepare(inputs([QUESTION], tools=tools))
    whole = chat.render(inputs([QUESTION, message], tools=tools, add_generation_prompt=False)).text
    n_same = next((i for i, (a, b) in enumerate(zip(asked.text, whole, strict=False)) if a != b), len(asked.text))
    assert n_same >= len(asked.text) - len(asked.generation_prompt)
    texts = {whole[n_same:], whole[n_same:].rstrip()}
    return asked.parser, [text.removesuffix(end) for text in texts for end in ENDS if text.endswith(end)]


@pytest.mark.parametrize("name", CALLS)
def test_a_call_is_read_in_the_format_of_its_family(model: Model, name: str) -> None:
    parser, texts = written(template(model, name), CALL, [WEATHER])
    answers = [parser.parse(text, False) for text in texts]
    calls = [[(call[0], json.loads(call[1])) for call in answer[2]] for answer in answers if answer and answer[2]]
    assert [("get_weather", {"city": "Oslo"})] in calls, texts


@pytest.mark.parametrize("name", REASONING)
def test_reasoning_is_told_from_content_in_the_format_of_its_family(model: Model, name: str) -> None:
    parser, texts = written(template(model, name), REASONED, None)
    answers = [parser.parse(text, False) for text in texts]
    found = {(answer[0].strip(), answer[1].strip()) for answer in answers if answer}
    assert ("It is fine.", "Clouds, or none?") in found, texts
