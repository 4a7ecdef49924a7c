"""The options of a request and of an engine, each declared once with type, range, unit and text."""

from __future__ import annotations

import math
import os
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

from inllama.options import Options, option

_INFINITY = math.inf


# The options that say what an output must look like; one request has one of them at most.
STRUCTURES = ("grammar", "json_schema", "regex", "choices")

# Unset until a request, the model file or, last, the default decides.
_choice = partial(option, unset=True)


@dataclass(frozen=True, kw_only=True)
class SamplingParams(Options):
    """What decides the choice of tokens and the end of an output.

    A field that is ``None`` is not set: the model file's recommendation counts, then the default in its text.
    JSON-serializable with ``to_dict`` and ``from_dict``.
    """

    temperature: float | None = _choice("Divides the logits; 0 always takes the most likely token.", 0.8, low=0.0)
    top_k: int | None = _choice("Keep the likeliest tokens; 0 keeps all.", 40, low=0, high=1 << 30, unit="tokens")
    top_p: float | None = _choice(
        "Keep the likeliest tokens that together reach this probability.", 0.95, low=0.0, high=1.0
    )
    min_p: float | None = _choice("Drop tokens below this share of the largest probability.", 0.05, low=0.0, high=1.0)
    typical_p: float | None = _choice("Locally typical sampling; 1 is off.", 1.0, low=0.0, high=1.0)
    top_n_sigma: float | None = _choice(
        "Keep logits within this many standard deviations of the largest; 0 is off.", 0.0, low=0.0
    )
    xtc_probability: float | None = _choice(
        "Chance to drop the most likely tokens above xtc_threshold.", 0.0, low=0.0, high=1.0
    )
    xtc_threshold: float | None = _choice(
        "Probability above which xtc drops all tokens but one.", 0.1, low=0.0, high=1.0
    )
    dynatemp_range: float | None = _choice("Temperature varies this much with entropy; 0 is off.", 0.0, low=0.0)
    dynatemp_exponent: float | None = _choice("Shape of the dynamic temperature.", 1.0, low=0.0)
    mirostat: int | None = _choice(
        "Version of mirostat, which replaces the truncating options; 0 is off.", 0, low=0, high=2
    )
    mirostat_tau: float | None = _choice("Surprise that mirostat aims at.", 5.0, low=1e-6, high=1e6)
    mirostat_eta: float | None = _choice("Mirostat's learning rate.", 0.1, low=0.0, high=1e6)
    adaptive_target: float | None = _choice("Probability that adaptive_p aims at.", None, low=0.0, high=1.0)
    adaptive_decay: float | None = _choice("How slowly adaptive_p forgets.", 0.9, low=0.0, high=0.99)
    repeat_penalty: float | None = _choice("Divides the logits of recent tokens; 1 is off.", 1.0, low=1e-6)
    frequency_penalty: float | None = _choice("Subtracted per recent occurrence; 0 is off.", 0.0, low=-1e6, high=1e6)
    presence_penalty: float | None = _choice("Subtracted once for recent tokens; 0 is off.", 0.0, low=-1e6, high=1e6)
    penalty_last_n: int | None = _choice("How far the penalties look back.", 64, low=0, high=1 << 22, unit="tokens")
    dry_multiplier: float | None = _choice(
        "Strength of the penalty on repeated sequences; 0 is off.", 0.0, low=0.0, high=1e6
    )
    dry_base: float | None = _choice("How fast that penalty grows with length.", 1.75, low=1.0, high=1e6)
    dry_allowed_length: int | None = _choice(
        "Longest repetition without penalty.", 2, low=0, high=1 << 30, unit="tokens"
    )
    dry_penalty_last_n: int | None = _choice("How far it looks back.", 1024, low=0, high=1 << 22, unit="tokens")
    dry_sequence_breakers: tuple[str, ...] | None = _choice(
        "Texts that end a repetition.", ("\n", ":", '"', "*"), each=str
    )
    logit_bias: Mapping[int, float] | None = _choice("Added to logits; -inf bans a token.", {}, each=float, key=int)
    ignore_eos: bool | None = _choice("Never choose a token that ends the output.", False)
    grammar: str | None = _choice("GBNF grammar that the output must follow.", None)
    json_schema: Mapping[str, Any] | str | bool | None = _choice(
        "JSON schema, or its text, that the output must follow.", None
    )
    regex: str | None = _choice("Regular expression that all of the output must match.", None)
    choices: tuple[str, ...] | None = _choice("Texts of which the output must be one.", None, each=str)
    seed: int | None = _choice("Of the random numbers; drawn and reported if not given.", None, low=0, high=2**32 - 2)
    max_tokens: int | None = _choice(
        "Longest output; by default until the model stops or the context is full.",
        None,
        low=1,
        high=2**31 - 1,
        unit="tokens",
    )
    min_tokens: int | None = _choice(
        "The model cannot end the output before so many tokens; stop strings can.",
        0,
        low=0,
        high=1 << 30,
        unit="tokens",
    )
    stop: tuple[str, ...] | None = _choice("Texts that end the output and are not part of it.", (), each=str)
    stop_token_ids: tuple[int, ...] | None = _choice("Tokens that end the output and are not part of it.", (), each=int)

    def __post_init__(self) -> None:
        stop: object = self.stop
        if isinstance(stop, str):
            object.__setattr__(self, "stop", (stop,))
        given = [name for name in STRUCTURES if getattr(self, name) is not None]
        for name in given:
            _check_is_no_type(name, getattr(self, name))
        super().__post_init__()
        if self.stop is not None and any(not text for text in self.stop):
            raise self.error("stop", self.stop, "has an empty text, which would match everywhere")
        if len(given) > 1:
            raise self.error(given[1], getattr(self, given[1]), f"and {given[0]} are both given; give one of them")
        if given and self.ignore_eos:
            raise self.error("ignore_eos", True, f"and {given[0]} exclude each other: a structure ends the output")

    @property
    def structure(self) -> tuple[str, Any] | None:
        """The option that says what the output must look like, and its value."""
        return next(((name, getattr(self, name)) for name in STRUCTURES if getattr(self, name) is not None), None)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SamplingParams:
        """Return the parameters that ``to_dict`` gave; the keys of ``logit_bias`` may be text, as in JSON."""
        values = dict(values)
        if values.get("logit_bias"):
            try:
                values["logit_bias"] = {int(token): bias for token, bias in values["logit_bias"].items()}
            except ValueError as problem:
                raise cls.error("logit_bias", values["logit_bias"], f"has a key that is no token: {problem}") from None
        return cls.from_keywords(values)

    def over(self, lower: SamplingParams) -> SamplingParams:
        """Return these parameters, and those of ``lower`` where these are not set."""
        return SamplingParams(
            **{
                item.name: getattr(lower, item.name) if getattr(self, item.name) is None else getattr(self, item.name)
                for item in fields(self)
            }
        )

    @classmethod
    def defaults(cls) -> SamplingParams:
        """Return inllama's own defaults, without any model's recommendations."""
        return cls(**{item.name: item.metadata["default"] for item in fields(cls)})


def _check_is_no_type(name: str, value: Any) -> None:
    if isinstance(value, type) or typing.get_origin(value) is not None:
        shown = value.__name__ if isinstance(value, type) else str(value)
        raise TypeError(f"{name} cannot be the type {shown}; give output={shown}, and the result has its instance")


@dataclass(frozen=True, kw_only=True)
class RequestOptions(Options):
    """What a request asks for besides the choice of tokens."""

    n: int = option("How many outputs.", 1, low=1, high=1024)
    timeout_s: float | None = option(
        "Time after which the request fails with DeadlineError: from the call on, or in map() from the row on; what is "
        "compiled for it counts.",
        None,
        low=0.0,
        unit="seconds",
    )
    output: object = option(
        "A type, such as a dataclass or a pydantic model, whose JSON the output must be; the result has its instance.",
        None,
    )
    wait: bool = option("Wait while the engine's queue is full; otherwise raise QueueFullError.", True)
    request_id: str | None = option("Name of the request in results and logs; drawn if not given.", None)
    reproducible: bool = option(
        "The same text for the same seed, every time on one machine: computed alone, one after the other, and without "
        "the prefix cache. Otherwise what is computed together changes the last digits.",
        False,
    )
    priority: int = option(
        "The larger, the earlier it starts; waiting raises it, so that everybody starts some time.",
        0,
        low=-1000,
        high=1000,
    )
    cache_salt: str = option("Prefixes are shared only with requests that have the same one.", "")
    adapters: Mapping[str, float] = option(
        "Loaded LoRA adapters to compute with, each with its scale; 1 is as it was trained.", {}, each=float
    )
    logprobs: bool | int | None = option(
        "Report the log-probability of each token, before any sampling option; a number: of so many likeliest ones.",
        None,
        low=0,
        high=1000,
    )
    top_logprobs: int | None = option("With logprobs=True: of so many likeliest tokens too.", None, low=0, high=1000)
    logits_processors: tuple[Callable[..., Any], ...] = option(
        "Functions of (token_ids, logits) that change the logits in place or return others, before any sampling "
        "option; called on a thread of the engine's, while other requests go on.",
        (),
        each=Callable,  # type: ignore[arg-type]
    )
    parse_special: bool = option("Turn the spelling of control tokens in the prompt into those tokens.", False)

    @property
    def n_logprobs(self) -> int:
        """Likeliest tokens that are reported at each place; -1: not even the chosen one.

        Raises:
            InvalidRequestError: ``top_logprobs`` would have no effect.
        """
        if self.top_logprobs is not None and self.logprobs is not True:
            raise self.error("top_logprobs", self.top_logprobs, "has no effect without logprobs=True")
        if self.logprobs is None or self.logprobs is False:
            return -1
        return self.top_logprobs or 0 if self.logprobs is True else self.logprobs


@dataclass(frozen=True, kw_only=True)
class EngineOptions(Options):
    """How an engine computes."""

    n_ctx: int | str = option(
        "Tokens of context; 'auto' is what the model was trained with, or what fits: into half of the free main "
        "memory, or into that of the devices.",
        "auto",
        low=1,
        high=1 << 30,
        unit="tokens",
        words=("auto",),
    )
    max_running: int = option("Outputs that are generated at the same time.", 16, low=1, high=256)
    max_queue: int = option("Requests that may wait besides; more wait in the caller.", 1024, low=0, high=1 << 20)
    step_tokens: int = option("Tokens computed at once.", 512, low=1, high=1 << 16, unit="tokens")
    prefill_chunk: int = option(
        "Prompt tokens computed between two tokens of outputs that are being generated, at most; fewer if these would "
        "wait more than about three times as long as without, more if many prompts wait.",
        512,
        low=1,
        high=1 << 16,
        unit="tokens",
    )
    prefix_cache: bool = option("Compute a prefix that requests have in common once, and keep it.", True)
    prefix_memory: int = option(
        "Main memory for prefixes that the KV cache had no room for, so that they need not be computed again.",
        0,
        low=0,
        high=1 << 44,
        unit="bytes",
    )
    prefix_folder: str | None = option(
        "Folder in which prefixes are kept, also for engines of later processes; write it nowhere that others may.",
        None,
    )
    prefix_folder_bytes: int = option(
        "Files in prefix_folder take at most so much; what was used least recently goes first.",
        4 << 30,
        low=0,
        high=1 << 50,
        unit="bytes",
    )
    kv_mode: str = option(
        "Layout of the KV cache: 'unified' shares all cells, and prefixes, between the requests; 'split' gives each of "
        "max_running an equal part of n_ctx and shares nothing, which is faster for unrelated prompts without flash "
        "attention; 'auto' is unified.",
        "auto",
        words=("auto", "unified", "split"),
    )
    n_threads: int | None = option(
        "Threads; by default the usable cores, fewer for a small model.", None, low=1, high=512
    )
    flash_attention: str = option("Use flash attention.", "auto", words=("auto", "on", "off"))
    kv_type_k: str = option(
        "Type of the cached keys.",
        "f16",
        words=("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"),
    )
    kv_type_v: str = option(
        "Type of the cached values.",
        "f16",
        words=("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"),
    )
    embed_memory: int = option(
        "Memory for what a step of embed, rerank or classify puts out; it limits how long a text can be.",
        512 << 20,
        low=1 << 20,
        high=1 << 40,
        unit="bytes",
    )

    def to_native(self) -> dict[str, object]:
        """Return all options, those without a value too, as the native engine reads them."""
        n_ctx = None if self.n_ctx == "auto" else int(self.n_ctx)
        return {**{item.name: getattr(self, item.name) for item in fields(self)}, "n_ctx": n_ctx}

    def __post_init__(self) -> None:
        folder: object = self.prefix_folder
        if isinstance(folder, os.PathLike):
            object.__setattr__(self, "prefix_folder", os.fspath(folder))
        super().__post_init__()


@dataclass(frozen=True, kw_only=True)
class EmbedOptions(Options):
    """How texts become vectors."""

    pooling: str | None = option(
        "How the vectors of a text's tokens become one; by default as the model file says.",
        None,
        words=("mean", "cls", "last"),
    )
    normalize: str = option(
        "Scale each vector to length 1 ('l2'), so that its largest value is 1 or -1 ('max_abs'), or not at all.",
        "l2",
        words=("l2", "max_abs", "none"),
    )
    dimensions: int | None = option(
        "Keep so many first values, before they are scaled; for models that were trained for it (Matryoshka).",
        None,
        low=1,
        high=1 << 20,
    )
    prefix: str = option("Text put before each text, as some models want it for each task: 'query: '.", "")
    truncate: bool = option("Cut texts that are too long; otherwise they are an error.", False)
    priority: int = option("The larger, the earlier; waiting raises it.", 0, low=-1000, high=1000)
    timeout_s: float | None = option(
        "Time after which the call fails with DeadlineError.", None, low=0.0, unit="seconds"
    )


@dataclass(frozen=True, kw_only=True)
class RankOptions(Options):
    """How texts are scored."""

    truncate: bool = option("Cut texts, or documents, that are too long; otherwise they are an error.", False)
    priority: int = option("The larger, the earlier; waiting raises it.", 0, low=-1000, high=1000)
    timeout_s: float | None = option(
        "Time after which the call fails with DeadlineError.", None, low=0.0, unit="seconds"
    )


@dataclass(frozen=True, kw_only=True)
class ModelOptions(Options):
    """How a model is loaded; see ``inllama.Model``."""

    gpu_layers: int | str = option(
        "Layers kept on GPUs; 'auto' keeps what fits.", "auto", low=0, high=2**31 - 1, words=("auto",)
    )
    load_mode: str = option(
        "How the file is read.", "auto", words=("auto", "none", "mmap", "mlock", "mmap_mlock", "direct_io")
    )
    split_mode: str = option("How several GPUs share the model.", "layer", words=("none", "layer", "row", "tensor"))
    devices: tuple[str, ...] = option("Names of devices; none means all.", (), each=str)
    tensor_split: tuple[float, ...] = option("Share of each device.", (), each=float)
    kv_overrides: Mapping[str, bool | int | float | str] = option(
        "Metadata entries to replace.", {}, each=(bool, int, float, str)
    )
    tensor_overrides: Mapping[str, str] = option("Buffer type for tensors whose name matches.", {}, each=str)
    check_tensors: bool = option("Refuse weights that are not finite numbers.", False)
    repack: bool = option("Use faster weight layouts, which other processes cannot share.", True)
    validate: str = option(
        "Load it in a child process first ('child'), which a hostile file would end instead of this one; it takes "
        "twice as long. Every file is checked before that in any case.",
        "file",
        words=("file", "child"),
    )

    def to_loading(self) -> dict[str, Any]:
        """Return the keywords of ``Model``."""
        return {name: value for name, value in self.to_dict().items() if name != "validate"}
