#include "bind/context.h"

#include "bind/adapter.h"
#include "bind/arrays.h"
#include "bind/call.h"
#include "bind/model.h"
#include "bind/module.h"
#include "core/error.h"
#include "core/llama/memory.h"
#include "core/llama/state.h"

#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>

#include <algorithm>

namespace inllama {

namespace {

constexpr const char* kDoc = R"doc(The memory (KV cache) of some sequences and the buffers to compute with.

One thread at a time, else ``ConcurrentUseError``. Read the sizes back: llama.cpp rounds some of them.

Args:
    model: A model with weights.
    n_ctx: KV cells shared by all sequences; by default what the model was trained with, at most 8192. Rounded up to
        a multiple of 256.
    n_batch: Rows that one call takes; at most ``n_ctx``.
    n_ubatch: Rows computed at once; encoders, pooling and non-causal attention take no more in one call.
    n_seq_max: Sequences that can be decoded, at most 256.
    n_outputs_max: Rows of one call that may give logits; by default ``n_batch``. At least ``n_seq_max``.
    n_threads: Threads for single rows; by default the usable cores, fewer for a small model.
    n_threads_batch: Threads for more rows; by default ``n_threads``.
    embeddings: Compute embeddings; then every row gives output.
    pooling: ``auto`` (the model's), ``none``, ``mean``, ``cls``, ``last`` or ``rank``.
    attention: ``auto``, ``causal`` or ``non_causal``.
    flash_attention: ``auto``, ``on`` or ``off``.
    kv_type_k: Type of the keys: ``f32``, ``f16``, ``bf16``, ``q8_0``, ``q5_1``, ``q5_0``, ``q4_1``, ``q4_0``, ``iq4_nl``.
    kv_type_v: Type of the values; quantized ones need flash attention.
    kv_unified: One pool of cells for all sequences, which then can share them; else ``n_ctx / n_seq_max`` each.
    swa_full: Keep all cells of sliding-window layers, so that sequences can be cut anywhere.
    offload_kqv: Keep the KV cache on the GPU.
    op_offload: Let the GPU compute large operations on host weights.
    rope_scaling: ``auto``, ``none``, ``linear``, ``yarn`` or ``longrope``.
    rope_freq_base: 0 for the model's, as is ``rope_freq_scale``.
    yarn_ext_factor: Negative for the model's, as are the other ``yarn_`` factors; ``yarn_orig_ctx`` is 0 for it.

Raises:
    InvalidRequestError: An option is out of range; ``.option``, ``.value`` and ``.limit`` say which and how.
    UnsupportedError: The model cannot be used so.
    InsufficientMemoryError: The KV cache does not fit.
)doc";

// A read-only numpy array over the output buffer, or a copy of it.
nb::object to_numpy(const OutputView& view, bool copy) {
    if (copy) {
        return nb::cast(to_array(std::vector<float>(view.data, view.data + view.size)));
    }
    need_numpy();
    auto* kept = new std::shared_ptr<const void>(view.owner);
    const nb::capsule owner(
        kept, [](void* held) noexcept { delete static_cast<std::shared_ptr<const void>*>(held); });
    return nb::cast(FloatView(view.data, {view.size}, owner));
}

nb::bytes saved(Context& context, std::optional<SequenceId> sequence) {
    const std::vector<uint8_t> bytes = call_native([&] { return save_state(*context.handle(), sequence); });
    return nb::bytes(bytes.data(), bytes.size());
}

void loaded(Context& context, const nb::bytes& bytes, std::optional<SequenceId> sequence) {
    const std::string_view view(bytes.c_str(), bytes.size());
    call_native([&] { load_state(*context.handle(), sequence, view); });
}

void construct(PyContext* self, nb::object model_object, const ContextParams& params) {
    auto& model = nb::cast<PyModel&>(model_object);
    const std::shared_ptr<ModelHandle> handle = model.handle();
    call_native([&] { new (self) PyContext(handle, params); });
    self->model = std::move(model_object);
}

void bind_compute(nb::class_<PyContext>& context) {
    context
        .def(
            "decode", [](PyContext& self, const Batch& batch) { call_native([&] { self.decode(batch); }); },
            "batch"_a,
            R"doc(Compute a batch and remember it.

Raises:
    InvalidRequestError: The context cannot take a row; nothing changed.
    ContextFullError: Memory has no room; nothing changed. ``.n_tokens`` and ``.n_ctx`` say how much.
    DecodeError: The computation failed; ``.code`` is llama.cpp's.
    BufferError: The output buffer would have to move while a ``copy=False`` array lives.
)doc")
        .def(
            "encode", [](PyContext& self, const Batch& batch) { call_native([&] { self.encode(batch); }); },
            "batch"_a,
            "Compute a batch with the model's encoder; nothing is remembered but its output. Raises as "
            "``decode``.")
        .def(
            "synchronize", [](PyContext& self) { call_native([&] { self.synchronize(); }); },
            "Wait for the last call's results.")
        .def(
            "logits",
            [](PyContext& self, int64_t row, bool copy) {
                return to_numpy(call_native([&] { return self.logits(row); }), copy);
            },
            "row"_a = -1, nb::kw_only(), "copy"_a = true,
            nb::sig("def logits(self, row: int = -1, *, copy: bool = True) -> "
                    "numpy.typing.NDArray[numpy.float32]"),
            R"doc(Return the logits of a row of the last call, float32 ``(n_vocab,)``.

Args:
    row: Index in the batch; a negative one counts the rows with output from the end.
    copy: ``False`` gives a read-only view that keeps the context alive. The next call overwrites its numbers.

Raises:
    InvalidRequestError: The row gave no output.
)doc")
        .def(
            "embeddings",
            [](PyContext& self, int64_t row, bool copy) {
                return to_numpy(call_native([&] { return self.embeddings(row); }), copy);
            },
            "row"_a = -1, nb::kw_only(), "copy"_a = true,
            nb::sig("def embeddings(self, row: int = -1, *, copy: bool = True) -> "
                    "numpy.typing.NDArray[numpy.float32]"),
            "Return the embedding of a row, float32 ``(n_embd_out,)``, of a context without pooling; as "
            "``logits``.")
        .def(
            "sequence_embedding",
            [](PyContext& self, SequenceId sequence) {
                return to_array(call_native([&] { return self.sequence_embedding(sequence); }));
            },
            "sequence"_a = 0,
            "Return the pooled embedding of a sequence, float32 ``(n_embd_out,)``, not normalized; with rank "
            "pooling "
            "its scores, ``(n_labels,)``.");
}

void bind_settings(nb::class_<PyContext>& context) {
    context
        .def(
            "set_threads",
            [](PyContext& self, int64_t n_threads, std::optional<int64_t> n_threads_batch) {
                call_native([&] { self.set_threads(n_threads, n_threads_batch.value_or(n_threads)); });
            },
            "n_threads"_a, "n_threads_batch"_a = nb::none(), "Replace the threads that compute.")
        .def(
            "set_causal_attention",
            [](PyContext& self, bool causal) { call_native([&] { self.set_causal_attention(causal); }); },
            "causal"_a, "Choose whether a row attends only to what is before it.")
        .def(
            "set_adapters",
            [](PyContext& self, const nb::dict& adapters) {
                std::vector<std::pair<std::shared_ptr<Adapter>, float>> scales;
                for (const auto& [adapter, scale] : adapters) {
                    float number = 0;
                    if (!nb::isinstance<PyAdapter>(adapter) || !nb::try_cast(scale, number)) {
                        throw nb::type_error("adapters must map Adapter objects to numbers");
                    }
                    scales.emplace_back(nb::cast<PyAdapter&>(adapter).adapter(), number);
                }
                call_native([&] { self.set_adapters(std::move(scales)); });
            },
            "adapters"_a,
            nb::sig("def set_adapters(self, adapters: collections.abc.Mapping[Adapter, float]) -> None"),
            "Use these adapters, each with its scale, and no other.")
        .def(
            "state", [](PyContext& self) { return saved(self, std::nullopt); },
            "Return the memory of all sequences as bytes for ``load_state``.")
        .def(
            "load_state", [](PyContext& self, nb::bytes state) { loaded(self, state, std::nullopt); },
            "state"_a,
            R"doc(Replace the memory of all sequences by a saved one.

Raises:
    StateError: The bytes are damaged or of another model or shape of memory. Do not load bytes that you do not trust.
)doc")
        .def(
            "sequence_state", [](PyContext& self, SequenceId sequence) { return saved(self, sequence); },
            "sequence"_a = 0, "Return the memory of one sequence as bytes for ``load_sequence_state``.")
        .def(
            "load_sequence_state",
            [](PyContext& self, nb::bytes state, SequenceId sequence) { loaded(self, state, sequence); },
            "state"_a, "sequence"_a = 0, "Replace the memory of one sequence; raises as ``load_state``.");
}

} // namespace

PyContext::~PyContext() {
    const NativeCall inside(NativeCall::Entry::always);
    const nb::gil_scoped_release release;
    try {
        close();
    } catch (const Error&) {
        // A call on another thread holds the handle and frees it at its end.
    }
}

void bind_context(nb::module_& m) {
    nb::class_<PyContext> context(m, "Context", kDoc, nb::is_weak_referenceable());
    context.def(
        "__init__",
        [](PyContext* self, nb::object model, std::optional<int64_t> n_ctx, int64_t n_batch, int64_t n_ubatch,
           int64_t n_seq_max, std::optional<int64_t> n_outputs_max, std::optional<int64_t> n_threads,
           std::optional<int64_t> n_threads_batch, bool embeddings, std::string pooling,
           std::string attention, std::string flash_attention, std::string kv_type_k, std::string kv_type_v,
           bool kv_unified, bool swa_full, bool offload_kqv, bool op_offload, std::string rope_scaling,
           double rope_freq_base, double rope_freq_scale, double yarn_ext_factor, double yarn_attn_factor,
           double yarn_beta_fast, double yarn_beta_slow, int64_t yarn_orig_ctx) {
            construct(self, std::move(model),
                      {n_ctx,           n_batch,          n_ubatch,       n_seq_max,      n_outputs_max,
                       n_threads,       n_threads_batch,  embeddings,     pooling,        attention,
                       flash_attention, kv_type_k,        kv_type_v,      kv_unified,     swa_full,
                       offload_kqv,     op_offload,       rope_scaling,   rope_freq_base, rope_freq_scale,
                       yarn_ext_factor, yarn_attn_factor, yarn_beta_fast, yarn_beta_slow, yarn_orig_ctx});
        },
        "model"_a, nb::kw_only(), "n_ctx"_a = nb::none(), "n_batch"_a = 2048, "n_ubatch"_a = 512,
        "n_seq_max"_a = 1, "n_outputs_max"_a = nb::none(), "n_threads"_a = nb::none(),
        "n_threads_batch"_a = nb::none(), "embeddings"_a = false, "pooling"_a = "auto",
        "attention"_a = "auto", "flash_attention"_a = "auto", "kv_type_k"_a = "f16", "kv_type_v"_a = "f16",
        "kv_unified"_a = true, "swa_full"_a = true, "offload_kqv"_a = true, "op_offload"_a = true,
        "rope_scaling"_a = "auto", "rope_freq_base"_a = 0.0, "rope_freq_scale"_a = 0.0,
        "yarn_ext_factor"_a = -1.0, "yarn_attn_factor"_a = -1.0, "yarn_beta_fast"_a = -1.0,
        "yarn_beta_slow"_a = -1.0, "yarn_orig_ctx"_a = 0,
        nb::sig(
            "def __init__(self, model: Model, *, n_ctx: int | None = None, n_batch: int = 2048, n_ubatch: "
            "int = 512, "
            "n_seq_max: int = 1, n_outputs_max: int | None = None, n_threads: int | None = None, "
            "n_threads_batch: int | None = None, embeddings: bool = False, pooling: str = 'auto', "
            "attention: str = 'auto', flash_attention: str = 'auto', kv_type_k: str = 'f16', kv_type_v: str "
            "= 'f16', "
            "kv_unified: bool = True, swa_full: bool = True, offload_kqv: bool = True, op_offload: bool = "
            "True, "
            "rope_scaling: str = 'auto', rope_freq_base: float = 0.0, rope_freq_scale: float = 0.0, "
            "yarn_ext_factor: float = -1.0, yarn_attn_factor: float = -1.0, yarn_beta_fast: float = -1.0, "
            "yarn_beta_slow: float = -1.0, yarn_orig_ctx: int = 0) -> None"));
    context
        .def(
            "close", [](PyContext& self) { call_native([&] { self.close(); }); },
            "Free the memory, after the last ``copy=False`` array and ``Memory`` object.")
        .def_prop_ro("closed", &PyContext::is_closed, "Whether ``close()`` was called.")
        .def(
            "__enter__", [](nb::object self) { return self; }, nb::sig("def __enter__(self) -> Context"))
        .def(
            "__exit__", [](PyContext& self, nb::args) { call_native([&] { self.close(); }); },
            nb::sig("def __exit__(self, *exc: object) -> None"))
        .def_prop_ro(
            "model", [](const PyContext& self) { return self.model; }, nb::sig("def model(self) -> Model"),
            "The model that it was made for.")
        .def_prop_ro(
            "memory", [](PyContext& self) { return new Memory(self.handle()); },
            nb::rv_policy::take_ownership, "What it remembers of its sequences.")
        .def_prop_ro("n_ctx", &PyContext::n_ctx, "KV cells.")
        .def_prop_ro("n_ctx_seq", &PyContext::n_ctx_seq, "KV cells that one sequence can use.")
        .def_prop_ro("n_batch", &PyContext::n_batch, "Rows that one call takes.")
        .def_prop_ro("n_ubatch", &PyContext::n_ubatch, "Rows computed at once.")
        .def_prop_ro("n_seq_max", &PyContext::n_seq_max, "Sequences that can be decoded.")
        .def_prop_ro("n_outputs_max", &PyContext::n_outputs_max, "Rows of one call that may give output.")
        .def_prop_ro("n_outputs", &PyContext::n_outputs, "Rows of the last call that gave output.")
        .def_prop_ro("n_threads", &PyContext::n_threads, "Threads for single rows.")
        .def_prop_ro("n_threads_batch", &PyContext::n_threads_batch, "Threads for more rows.")
        .def_prop_ro("pooling", &PyContext::pooling, "The pooling in use.")
        .def_prop_ro("is_causal", &PyContext::is_causal, "Whether attention is causal.");
    bind_compute(context);
    bind_settings(context);
}

} // namespace inllama
