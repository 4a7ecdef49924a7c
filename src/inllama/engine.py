"""``Engine``: one model, one KV cache, every request of the process."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import inllama._core as _core
from inllama._core import Model, Tokenizer
from inllama._exit import close_at_exit
from inllama.adapters import Adapters
from inllama.chat_format import ChatFormat
from inllama.chat_frame import Frame
from inllama.errors import InllamaError, QueueFullError, StateError, UnsupportedError
from inllama.fitting import fit_context, fit_file
from inllama.kept import Kept
from inllama.model import Progress, checked_file, checked_options, load_model, recommended_params
from inllama.params import EngineOptions, SamplingParams
from inllama.processors import Processors
from inllama.request import Prepared
from inllama.stats import Stats
from inllama.texts import PreparedTexts, TextLimits
from inllama.waiting import SLICE_S, answer

if TYPE_CHECKING:
    from inllama.texts import Tokens

# Templates that were parsed and are kept: the model's own, and some that callers give.
_TEMPLATES_KEPT = 16
# Architectures that turn their scores into probabilities (llama.cpp's build_pooling).
_SCORES_BY_SOFTMAX = frozenset({"qwen3", "qwen3vl"})


class Engine:
    """Computes the requests of all threads together over one KV cache, on a thread of its own.

    Prefixes that requests have in common are computed once. Any thread may use it; ``LLM`` and ``AsyncLLM`` are its
    faces.

    Args:
        model: A path, ``hf:owner/repo:QUANT`` of the Hugging Face Hub (see ``pull``), ``"demo"`` for the small model
            inside the package, or a loaded ``Model``, which is then not closed with the engine.
        progress: Called with 0.0 to 1.0 while a file is loaded; ``False`` or an exception stops it.
        **options: Fields of ``EngineOptions`` and ``ModelOptions``.

    Raises:
        ModelLoadError: The file cannot be loaded, or ``progress`` stopped it.
        InsufficientMemoryError: It does not fit into memory, or no context does; nothing was allocated.
        InvalidRequestError: An option has a value that is not possible.
        UnsupportedError: The model was loaded without weights, or must be downloaded without the extra ``hub``.
        TypeError: An option that does not exist.
    """

    def __init__(
        self, model: str | os.PathLike[str] | Model = "demo", *, progress: Progress | None = None, **options: Any
    ) -> None:
        if model is None:
            raise TypeError("model must be a path, 'demo' or a Model, not None")
        checked, loading = checked_options(model, options, progress)
        self._owns_model = not isinstance(model, Model)
        if not isinstance(model, Model):
            path = checked_file(model, loading)
            loading = fit_file(path, checked, loading)
        self._model: Model | None = model if isinstance(model, Model) else load_model(path, loading, progress)
        try:
            checked = fit_context(self._model, checked, loading)
            self._start(checked, recommended_params(self._model).over(SamplingParams.defaults()))
        except BaseException:
            if self._owns_model:
                self._model.close()
            raise

    def _start(self, options: EngineOptions, default_params: SamplingParams) -> None:
        self._options = options
        self._default_params = default_params
        self._native = self._make_native()
        # Computes the reproducible requests, one at a time.
        self._alone: _core.Engine | None = None
        self._making = threading.Lock()  # of that
        # Held for moments only: a thread that makes something may never come back once the interpreter ends.
        self._lock = threading.Lock()
        self._processors: Processors | None = None
        self._templates: Kept[str | None, ChatFormat] = Kept(_TEMPLATES_KEPT)
        self._rank_prompt: _core.RankPrompt | None = None
        self._adapters = Adapters()
        close_at_exit(self)

    def _make_native(self, **changed: object) -> _core.Engine:
        return _core.LlamaEngine(self.model, self._options.to_native() | changed)

    def _native_for(self, request: Prepared | PreparedTexts) -> _core.Engine:
        if not request.is_reproducible:
            return self._native
        with self._making:
            if self._alone is None:
                self.check_usable()
                made = self._make_native(max_running=1, prefix_cache=False, prefix_memory=0, prefix_folder=None)
                with self._lock:
                    if not self.closed:
                        self._alone = made
                if self._alone is None:
                    made.close()
            return self._alone or self._native

    def _processors_for(self, request: Prepared) -> Processors | None:
        if not request.processors:
            return None
        with self._lock:
            if self._processors is None:
                self._processors = Processors()
                weakref.finalize(self, self._processors.close)
            return self._processors

    @property
    def model(self) -> Model:
        """The loaded model."""
        if self._model is None:
            raise UnsupportedError("this engine computes without a model")
        return self._model

    @property
    def model_name(self) -> str:
        """What results call the model."""
        return os.path.basename(self.model.path)

    @property
    def n_ctx(self) -> int:
        """Tokens that one request can use, prompt and output together."""
        return self._native.n_ctx

    @property
    def max_running(self) -> int:
        """Outputs that are generated at the same time."""
        return self._options.max_running

    @property
    def closed(self) -> bool:
        """Whether ``close()`` was called."""
        return self._native.closed

    @property
    def default_params(self) -> SamplingParams:
        """The sampling options of a request that sets none: the model's recommendations over inllama's defaults."""
        return self._default_params

    def encode(self, text: str, *, parse_special: bool = False, add_special: bool = True) -> list[int]:
        """Return the tokens of a prompt, or with ``add_special=False`` of a part of one."""
        made = self._tokenizer().encode(text, parse_special=parse_special, add_special=add_special)
        tokens: list[int] = made.tolist()
        return tokens

    def chat_template(self, chosen: str | None) -> ChatFormat:
        """Return the model's own chat template, one of its named ones, or the one that is given as text; parsed once.

        Raises:
            TemplateError: It cannot be parsed.
            UnsupportedError: The model has none.
        """
        return self._templates.get(chosen, lambda: self._make_template(chosen))

    def _make_template(self, chosen: str | None) -> ChatFormat:
        if chosen is None:
            return _core.ChatTemplate(self.model)
        if "{" in chosen:
            return _core.ChatTemplate(self.model, source=chosen)
        return _core.ChatTemplate(self.model, name=chosen)

    def piece(self, token: int) -> bytes:
        """Return the bytes that a token stands for."""
        return self._tokenizer().piece(token)

    def pieces(self) -> Callable[[int], bytes]:
        """Return ``piece`` as a function that works after ``close()`` too."""
        return self.piece if self._model is None else self._tokenizer().piece

    def structure(
        self, kind: str, source: Any, *, spelled: Sequence[int] = (), frame: Frame | None = None
    ) -> _core.Structure:
        """Return what an option asks of an output, compiled; the same one is compiled once.

        Args:
            kind: ``grammar``, ``json_schema``, ``regex`` or ``choices``.
            source: The option's value.
            spelled: Control tokens that can come where a literal of the grammar or the frame has their spelling.
            frame: What the model writes around it; not for a ``grammar``.

        Raises:
            GrammarError: It cannot be enforced; ``.pointer``, or ``.line`` and ``.column``, say where.
            UnsupportedError: The vocabulary has no token that ends an output, or the frame cannot have it inside.
        """
        if kind == "grammar":
            return self._native.structure("gbnf", source, spelled)
        from inllama.structure import grammar_of  # with the first structure: it takes a while

        grammar = grammar_of(kind, source)
        if frame is not None:
            return self._native.structure("gbnf", frame.grammar, spelled, frame.hole, grammar)
        return self._native.structure("ebnf", grammar)

    @property
    def structure_counts(self) -> tuple[int, int, int]:
        """Structures compiled, those that were there already, and the bytes of those that are kept."""
        return self._native.structure_counts

    def _tokenizer(self) -> Tokenizer:
        try:
            return self.model.tokenizer
        except InllamaError:
            self.check_usable()  # it was closed with the engine
            raise

    def stats(self) -> Stats:
        """Return what was done and is there: requests, tokens, cells of the KV cache, times."""
        return Stats.of(*(native.stats() for native in self._natives()))

    def _natives(self) -> list[_core.Engine]:
        return [native for native in (self._native, self._alone) if native is not None]

    def make_ready(self, request: Prepared) -> None:
        """Make what the request needs, if it is the first of its kind; that may take a while."""
        self._native_for(request)

    def load_adapter(self, name: str, path: str | os.PathLike[str]) -> None:
        """Load a LoRA adapter, which requests can then name with ``adapters``; others go on meanwhile.

        Args:
            name: What requests call it.
            path: Of its GGUF file.

        Raises:
            ModelLoadError: The file is damaged, no adapter, or made for another model.
            InvalidRequestError: Another adapter has that name.
        """
        self.check_usable()
        self._adapters.add(name, lambda: self._load_adapter(path))

    def _load_adapter(self, path: str | os.PathLike[str]) -> Any:
        return _core.Adapter(self.model, path)

    def unload_adapter(self, name: str) -> None:
        """Forget an adapter; requests that have it go on with it, and its memory is freed after the last one.

        Raises:
            InvalidRequestError: There is no such adapter.
        """
        self._adapters.remove(name)
        for native in self._natives():
            native.drop_adapters()

    @property
    def adapters(self) -> tuple[str, ...]:
        """The names of the adapters that are loaded."""
        return self._adapters.names

    def scaled_adapters(self, asked: Mapping[str, float]) -> list[tuple[Any, float]]:
        """Return the adapters that a request asks for, with their scales.

        Raises:
            InvalidRequestError: There is no such adapter.
        """
        return self._adapters.scaled(asked)

    def text_limits(self, pooling: str | None) -> TextLimits:
        """Return what becomes of texts with that pooling; ``None``: the model's own.

        Raises:
            UnsupportedError: The model file names none, or the model cannot.
        """
        return TextLimits(*self._native.embedding_limits(pooling))

    def encode_texts(self, texts: Sequence[str]) -> Sequence[Tokens]:
        """Return the tokens of each text, with those that the model puts around it."""
        return self._tokenizer().encode_batch(texts)

    def encode_pair(self, query: str, document: str) -> Tokens:
        """Return the tokens by which the model scores a document."""
        if self._rank_prompt is None:
            self._rank_prompt = _core.RankPrompt(self.model)
        return self._rank_prompt.encode(query, document)

    def save_state(
        self, prompt: str | Sequence[int], *, adapters: Mapping[str, float] | None = None, cache_salt: str = ""
    ) -> bytes:
        """Return what the KV cache holds of the beginning of a prompt, for ``load_state`` in this or another process.

        Args:
            prompt: A text, or token ids.
            adapters: Those of the requests that computed it.
            cache_salt: That of those requests.

        Raises:
            StateError: The KV cache holds nothing of it.
            UnsupportedError: What this model remembers cannot be saved.
        """
        tokens = self.encode(prompt) if isinstance(prompt, str) else prompt
        events = _core.EventQueue()
        request: dict[str, object] = {
            "cache_salt": cache_salt,
            "adapters": self.scaled_adapters(adapters or {}),
        }
        self._native.save_state(events, tokens, request)
        n_tokens, state = answer(events)
        if n_tokens == 0:
            raise StateError("the KV cache holds nothing of this prompt; generate from it first")
        assert state is not None
        return state

    def load_state(self, state: bytes) -> int:
        """Put a saved prefix into the KV cache, where requests find it. Returns its number of tokens.

        That is 0 if the KV cache has no room for it, and what begins with it is computed as ever. Only load what you
        trust.

        Raises:
            StateError: The bytes are damaged, or of another model, or of an engine with other options.
        """
        if not isinstance(state, bytes):
            raise TypeError(f"state must be bytes, not {type(state).__name__}")
        events = _core.EventQueue()
        self._native.load_state(events, state)
        return answer(events)[0]

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of what the model scores, as its file has them."""
        return tuple(self.model.classifier_labels)

    @property
    def gives_probabilities(self) -> bool:
        """Whether the model's scores are probabilities already."""
        return self.model.architecture in _SCORES_BY_SOFTMAX

    def submit(self, events: _core.EventQueue, request: Prepared | PreparedTexts) -> int:
        """Hand a request over; its events come through ``events``. Returns its number.

        Raises:
            QueueFullError: There is no room; who waits for some calls again.
            ContextFullError: The prompt does not fit.
            DeadlineError: Its time went by while it waited for room.
            EngineClosedError: ``close()`` was called.
        """
        if isinstance(request, PreparedTexts):
            return self._native.submit_texts(events, request.texts, request.current_limits(), request.waits)
        native = self._native_for(request)
        limits = request.current_limits()
        processors = self._processors_for(request)
        if processors is None:
            arguments = (events, request.tokens, request.fields, request.seeds, limits)
            return native.submit(*arguments, None, request.waits)
        return processors.submit(native, events, request, limits)

    def submit_waiting(self, events: _core.EventQueue, request: Prepared | PreparedTexts) -> int:
        """``submit``, but wait for room, if the request does; Ctrl-C ends it."""
        while True:
            try:
                return self.submit(events, request)
            except QueueFullError:
                if not request.waits:
                    raise
                self.wait_for_room(request)

    def wait_for_room(self, request: Prepared | PreparedTexts) -> None:
        """Wait a moment, or until ``request`` may find room."""
        self._native_for(request).wait_for_room(SLICE_S)

    def cancel(self, request: int) -> None:
        """End a request at the next step."""
        for native in self._natives():
            native.cancel(request)

    def close(self) -> None:
        """End all requests with ``EngineClosedError``, and the engine; free the model if it was loaded here."""
        self._native.close()
        with self._lock:
            alone, processors = self._alone, self._processors
        if alone is not None:
            alone.close()
        if processors is not None:
            processors.close()
        if self._owns_model and self._model is not None:
            self._model.close()

    def check_usable(self) -> None:
        """Raise ``EngineClosedError`` once closed, ``ForkedEngineError`` in a child process."""
        self._native.wait_for_room(0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.model_name!r}{', closed' if self.closed else ''})"
