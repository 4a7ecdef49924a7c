"""What a template would leave out without a word is refused: over all templates of llama.cpp's tree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from chats import CALL, CLOCK, NO_TREE, QUESTION, RESULT, TEMPLATES, WEATHER

from inllama import LLM, InvalidRequestError, UnsupportedError

# They do not show tools, and llama.cpp has no format of calls for them.
SILENT = {
    "HuggingFaceTB-SmolLM3-3B",
    "deepseek-ai-DeepSeek-R1-Distill-Llama-8B",
    "google-gemma-2-2b-it",
    "llama-cpp-rwkv-world",
    "microsoft-Phi-3.5-mini-instruct",
}
# They show them, but nobody knows how a call is written.
WITHOUT_CALLS = {"ibm-granite-granite-3.3-2B-Instruct"}
# They show documents.
READING = {
    "Cohere2MoE",
    "CohereForAI-c4ai-command-r7b-12-2024-tool_use",
    "ibm-granite-granite-3.3-2B-Instruct",
    "ibm-granite-granite-4.0",
    "ibm-granite-granite-4.1",
}
TOOLS = [WEATHER, CLOCK]
PLAIN = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
OWN_TOOLS = "{% if xml_tools %}{{ xml_tools | tojson }}{% endif %}" + PLAIN


def source_of(name: str) -> str:
    path = next((path for path in TEMPLATES if path.stem == name), None)
    if path is None:
        pytest.skip(NO_TREE)
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_tools_reach_the_model_or_are_refused(llm: LLM, path: Path) -> None:
    options: dict[str, Any] = {"tools": TOOLS, "chat_template": path.read_text(encoding="utf-8")}
    refused = {
        "auto": path.stem in SILENT,
        "required": path.stem in SILENT | WITHOUT_CALLS,
        "clock": path.stem in SILENT | WITHOUT_CALLS,
        "none": False,
    }
    for choice, is_refused in refused.items():
        if is_refused:
            with pytest.raises(UnsupportedError, match="chat_template=, or use a model") as caught:
                llm.render_chat([QUESTION], tool_choice=choice, **options)
            assert caught.value.option == ("tools" if choice == "auto" else "tool_choice")
        else:
            assert llm.render_chat([QUESTION], tool_choice=choice, **options).text


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_documents_reach_the_model_or_are_refused(llm: LLM, path: Path) -> None:
    options: dict[str, Any] = {
        "documents": [{"title": "The ark", "text": "Two of each."}],
        "chat_template": path.read_text(encoding="utf-8"),
    }
    if path.stem in READING:
        assert "Two of each." in llm.render_chat([QUESTION], **options).text
        return
    with pytest.raises(UnsupportedError, match="shows no documents") as caught:
        llm.render_chat([QUESTION], **options)
    assert caught.value.option == "documents"


def test_chats_refuse_what_their_prompts_do(llm: LLM) -> None:
    n_before = llm.stats().submitted
    with pytest.raises(UnsupportedError, match="does not show tools"):
        llm.chat([QUESTION], tools=TOOLS, chat_template=PLAIN)
    with pytest.raises(UnsupportedError, match="tool_choice='clock' cannot be enforced"):
        llm.chat([QUESTION], tools=TOOLS, tool_choice="clock", chat_template=PLAIN)
    with pytest.raises(UnsupportedError, match="documents"):
        llm.stream_chat([QUESTION], documents=[{"text": "x"}], chat_template=PLAIN)
    with pytest.raises(UnsupportedError, match="documents"):
        llm.chat([QUESTION], documents=[{"text": "x"}])
    assert llm.stats().submitted == n_before


def test_the_name_of_a_tool_in_a_message_shows_nothing(llm: LLM) -> None:
    said = [{"role": "user", "content": "Is there get_weather or a clock?"}]
    with pytest.raises(UnsupportedError, match="does not show tools"):
        llm.render_chat(said, tools=TOOLS, chat_template=PLAIN)
    with pytest.raises(UnsupportedError, match="does not show tools"):
        llm.render_chat([QUESTION, CALL, RESULT], tools=[WEATHER], chat_template=PLAIN)


def test_tools_that_a_variable_of_the_template_shows_are_shown(llm: LLM) -> None:
    shown = {"xml_tools": [tool["function"] for tool in TOOLS]}
    prompt = llm.render_chat([QUESTION], tools=TOOLS, chat_template=OWN_TOOLS, chat_template_kwargs=shown)
    assert "get_weather" in prompt.text


@pytest.mark.parametrize(
    ("name", "near"), [("enable_thinkin", "enable_thinking"), ("xml_tool", "xml_tools"), ("zzz", "leave it out")]
)
def test_a_variable_that_the_template_does_not_mention_is_refused(llm: LLM, name: str, near: str) -> None:
    with pytest.raises(InvalidRequestError, match=f"chat_template_kwargs has '{name}'.*{near}") as caught:
        llm.chat([QUESTION], chat_template=OWN_TOOLS, chat_template_kwargs={name: True})
    assert (caught.value.option, caught.value.name) == ("chat_template_kwargs", name)


def test_variables_that_have_an_effect_are_taken(llm: LLM) -> None:
    assert llm.render_chat([QUESTION], chat_template=PLAIN, chat_template_kwargs={"enable_thinking": True}).text
    efforts = {
        llm.render_chat(
            [QUESTION],
            chat_template=source_of("openai-gpt-oss-120b"),
            chat_template_kwargs={"reasoning_effort": effort},
        ).text
        for effort in ("low", "high")
    }
    assert len(efforts) == 2
    # llama.cpp's name for what templates call differently.
    talk = [QUESTION, {"role": "assistant", "content": "Fine.", "reasoning_content": "Clouds?"}, QUESTION]
    kept = [
        llm.render_chat(
            talk, chat_template=source_of("GLM-4.7-Flash"), chat_template_kwargs={"preserve_reasoning": value}
        ).text
        for value in (True, False)
    ]
    assert ["Clouds?" in text for text in kept] == [True, False]


def test_a_tool_may_refer_to_its_own_schema(llm: LLM) -> None:
    branch = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 5}, "next": {"$ref": "#"}}}
    escaped = {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/x~1y"}},
        "required": ["a"],
        "$defs": {"x/y": {"type": "integer", "maximum": 9}},
    }
    for parameters in (branch, escaped):
        tool = {"type": "function", "function": {"name": "grow", "description": "Grow.", "parameters": parameters}}
        for choice in ("auto", "required"):
            assert "grow" in llm.render_chat("Grow!", tools=[tool], tool_choice=choice).text
        for seed in range(3):
            reply = llm.chat("Grow!", tools=[tool], tool_choice="required", reasoning=False, seed=seed, max_tokens=120)
            assert reply.finish_reason in ("tool_calls", "length")
