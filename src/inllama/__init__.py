"""llama.cpp inside your Python process.

>>> import inllama
>>> with inllama.LLM() as llm:
...     print(llm.generate("Once upon a time", max_tokens=64).text)
"""

import os as _os
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

# ggml reads it when _core is loaded; without it a crash would fork a debugger to print a backtrace.
_os.environ.setdefault("GGML_NO_BACKTRACE", "1")

from inllama import _build_config, _cpu

_cpu.check_cpu(_build_config.CPU_FEATURES, _cpu.cpu_features())

from inllama import _exit as _exit  # noqa: E402 - loads _core
from inllama import _logging as _logging  # noqa: E402
from inllama import samplers  # noqa: E402
from inllama._core import (  # noqa: E402
    Adapter,
    Batch,
    Context,
    Device,
    Memory,
    Model,
    Sampler,
    SamplerStage,
    TokenDecoder,
    Tokenizer,
    devices,
)
from inllama.build_info import BuildInfo, build_info  # noqa: E402
from inllama.chat_outputs import (  # noqa: E402
    ChatChoice,
    ChatCompletion,
    Finished,
    Message,
    ReasoningDelta,
    TextDelta,
    ToolCall,
    ToolCallDelta,
)
from inllama.chat_params import ChatOptions  # noqa: E402
from inllama.chat_stream import ChatStream  # noqa: E402
from inllama.conversation import Conversation, Turn  # noqa: E402
from inllama.engine import Engine  # noqa: E402
from inllama.errors import (  # noqa: E402
    ConcurrentUseError,
    ContextFullError,
    DeadlineError,
    DecodeError,
    EngineClosedError,
    EngineError,
    ForkedEngineError,
    GrammarError,
    IncompleteOutputError,
    InllamaError,
    InsufficientMemoryError,
    InvalidRequestError,
    ModelLoadError,
    QueueFullError,
    StateError,
    TemplateError,
    UnsupportedError,
)
from inllama.llm import LLM  # noqa: E402
from inllama.outputs import Choice, Chunk, Completion, Timings, TokenLogprob, Usage  # noqa: E402
from inllama.params import (  # noqa: E402
    EmbedOptions,
    EngineOptions,
    ModelOptions,
    RankOptions,
    RequestOptions,
    SamplingParams,
)
from inllama.ranking import Classification, Ranked  # noqa: E402
from inllama.stats import Histogram, Stats  # noqa: E402
from inllama.stream import TextStream  # noqa: E402
from inllama.tools import Tool  # noqa: E402

if _TYPE_CHECKING:
    from inllama import gguf as gguf
    from inllama.async_chat_stream import AsyncChatStream
    from inllama.async_conversation import AsyncConversation, AsyncTurn
    from inllama.async_llm import AsyncLLM
    from inllama.async_stream import AsyncTextStream
    from inllama.hub.cached_model import CachedModel
    from inllama.hub.caches import cached_models
    from inllama.hub.download import pull
    from inllama.hub.progress import PullProgress
    from inllama.hub.pulled import Pulled
    from inllama.memory_estimate import DeviceMemory, MemoryEstimate, estimate
    from inllama.pool import ModelPool, PoolStatus
    from inllama.quantization import quantization_types, quantize
    from inllama.server.in_process import async_openai_client, openai_client

__version__ = _build_config.VERSION

__all__ = [
    "LLM",
    "Adapter",
    "AsyncChatStream",
    "AsyncConversation",
    "AsyncLLM",
    "AsyncTextStream",
    "AsyncTurn",
    "Batch",
    "BuildInfo",
    "CachedModel",
    "ChatChoice",
    "ChatCompletion",
    "ChatOptions",
    "ChatStream",
    "Choice",
    "Chunk",
    "Classification",
    "Completion",
    "ConcurrentUseError",
    "Context",
    "ContextFullError",
    "Conversation",
    "DeadlineError",
    "DecodeError",
    "Device",
    "DeviceMemory",
    "EmbedOptions",
    "Engine",
    "EngineClosedError",
    "EngineError",
    "EngineOptions",
    "Finished",
    "ForkedEngineError",
    "GrammarError",
    "Histogram",
    "IncompleteOutputError",
    "InllamaError",
    "InsufficientMemoryError",
    "InvalidRequestError",
    "Memory",
    "MemoryEstimate",
    "Message",
    "Model",
    "ModelLoadError",
    "ModelOptions",
    "ModelPool",
    "PoolStatus",
    "PullProgress",
    "Pulled",
    "QueueFullError",
    "RankOptions",
    "Ranked",
    "ReasoningDelta",
    "RequestOptions",
    "Sampler",
    "SamplerStage",
    "SamplingParams",
    "StateError",
    "Stats",
    "TemplateError",
    "TextDelta",
    "TextStream",
    "Timings",
    "TokenDecoder",
    "TokenLogprob",
    "Tokenizer",
    "Tool",
    "ToolCall",
    "ToolCallDelta",
    "Turn",
    "UnsupportedError",
    "Usage",
    "__version__",
    "async_openai_client",
    "build_info",
    "cached_models",
    "devices",
    "estimate",
    "openai_client",
    "pull",
    "quantization_types",
    "quantize",
    "samplers",
]

# They need asyncio, which takes as long to import as everything else, an extra, or few need them.
_LATER = {
    "AsyncChatStream": "inllama.async_chat_stream",
    "AsyncConversation": "inllama.async_conversation",
    "AsyncLLM": "inllama.async_llm",
    "AsyncTextStream": "inllama.async_stream",
    "AsyncTurn": "inllama.async_conversation",
    "CachedModel": "inllama.hub.cached_model",
    "DeviceMemory": "inllama.memory_estimate",
    "MemoryEstimate": "inllama.memory_estimate",
    "ModelPool": "inllama.pool",
    "PoolStatus": "inllama.pool",
    "PullProgress": "inllama.hub.progress",
    "Pulled": "inllama.hub.pulled",
    "async_openai_client": "inllama.server.in_process",
    "cached_models": "inllama.hub.caches",
    "estimate": "inllama.memory_estimate",
    "openai_client": "inllama.server.in_process",
    "pull": "inllama.hub.download",
    "quantization_types": "inllama.quantization",
    "quantize": "inllama.quantization",
}
_LATER_MODULES = ("gguf", "server", "testing")


def __getattr__(name: str) -> _Any:
    import importlib

    if name in _LATER_MODULES:
        return importlib.import_module(f"inllama.{name}")
    if name not in _LATER:
        raise AttributeError(f"module 'inllama' has no attribute {name!r}")
    public = getattr(importlib.import_module(_LATER[name]), name)
    public.__module__ = "inllama"
    globals()[name] = public
    return public


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


# Tracebacks and documentation show the public names.
for _name in __all__:
    _public = globals().get(_name)
    if isinstance(_public, type):
        _public.__module__ = "inllama"
del _name, _public
