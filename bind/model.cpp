#include "core/llama/model.h"

#include "bind/arrays.h"
#include "bind/call.h"
#include "bind/model.h"
#include "bind/module.h"
#include "bind/progress.h"
#include "core/error.h"
#include "core/llama/tokenizer.h"
#include "core/llama/vocab.h"

#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

namespace inllama {

std::optional<int64_t> layers_of(nb::handle gpu_layers) {
    if (nb::isinstance<nb::str>(gpu_layers) && nb::str(gpu_layers).equal(nb::str("auto"))) {
        return std::nullopt;
    }
    if (PyBool_Check(gpu_layers.ptr()) || !PyLong_Check(gpu_layers.ptr())) {
        throw nb::type_error("gpu_layers must be 'auto' or an int");
    }
    int is_beyond = 0;
    const long long n = PyLong_AsLongLongAndOverflow(gpu_layers.ptr(), &is_beyond);
    return is_beyond > 0 ? INT64_MAX : is_beyond < 0 ? INT64_MIN : static_cast<int64_t>(n);
}

namespace {

MetadataValue metadata_value(nb::handle value) {
    if (PyBool_Check(value.ptr())) {
        return nb::cast<bool>(value);
    }
    if (PyFloat_Check(value.ptr())) {
        return nb::cast<double>(value);
    }
    if (PyUnicode_Check(value.ptr())) {
        return std::string(utf8(value));
    }
    int is_beyond = 0;
    const long long integer = PyLong_AsLongLongAndOverflow(value.ptr(), &is_beyond);
    if (is_beyond != 0) {
        throw Error(ErrorKind::InvalidRequestError, "kv_overrides has an integer that does not fit 64 bits")
            .with("option", "kv_overrides");
    }
    if (PyErr_Occurred() != nullptr) {
        throw nb::python_error();
    }
    return static_cast<int64_t>(integer);
}

} // namespace

std::map<std::string, MetadataValue> metadata_values(const nb::dict& entries) {
    std::map<std::string, MetadataValue> values;
    for (const auto& [key, value] : entries) {
        values[std::string(utf8(key))] = metadata_value(value);
    }
    return values;
}

namespace {

constexpr const char* kInitSignature =
    "def __init__(self, path: str | os.PathLike[str], *, gpu_layers: int | typing.Literal['auto'] = 'auto', "
    "load_mode: str = 'auto', split_mode: str = 'layer', devices: collections.abc.Sequence[str] = ..., "
    "tensor_split: collections.abc.Sequence[float] = ..., "
    "kv_overrides: collections.abc.Mapping[str, bool | int | float | str] = ..., "
    "tensor_overrides: collections.abc.Mapping[str, str] = ..., vocab_only: bool = False, "
    "check_tensors: bool = False, repack: bool = True, "
    "progress: collections.abc.Callable[[float], object] | None = None) -> None";

constexpr const char* kModelDoc = R"doc(A GGUF model in memory: weights, vocabulary and metadata.

Immutable: any number of threads and contexts share it. Contexts, tokenizers and adapters keep the weights alive, in
any order of garbage collection.

Args:
    path: The file; of a split model, the first part.
    gpu_layers: Layers kept on GPUs, or ``"auto"`` for all.
    load_mode: ``auto``, ``none`` (read), ``mmap``, ``mlock``, ``mmap_mlock`` or ``direct_io``.
    split_mode: How several GPUs share the model: ``none``, ``layer``, ``row`` or ``tensor``.
    devices: Names from ``inllama.devices()``; empty for all.
    tensor_split: Share of each device; empty to split by free memory.
    kv_overrides: Metadata entries to replace, such as ``{"llama.context_length": 8192}``.
    tensor_overrides: Buffer type for tensors whose name matches a regular expression, such as ``{"exps": "CPU"}``.
    vocab_only: Load no weights: only ``tokenizer`` and ``metadata`` are of use.
    check_tensors: Refuse weights that are not finite numbers.
    repack: Use faster layouts of the weights, which other processes cannot share.
    progress: Called with 0.0 to 1.0; ``False`` or an exception stops loading.

Raises:
    ModelLoadError: The file cannot be loaded; ``.path`` and ``.reason`` say what and why.
    InvalidRequestError: An option has a value that is not possible.
)doc";

} // namespace

PyModel::~PyModel() {
    close_all();
}

void PyModel::close_all() {
    std::shared_ptr<const Tokenizer> tokenizer;
    std::shared_ptr<StructureCompiler> structures;
    {
        const nb::ft_lock_guard lock(mutex_);
        tokenizer.swap(tokenizer_);
        structures.swap(structures_);
    }
    const NativeCall inside(NativeCall::Entry::always);
    // Giving back many gigabytes takes long enough for others to run.
    const nb::gil_scoped_release release;
    close();
    structures.reset();
    tokenizer.reset();
}

std::shared_ptr<const Tokenizer> PyModel::tokenizer() const {
    const std::shared_ptr<ModelHandle> held = handle();
    {
        const nb::ft_lock_guard lock(mutex_);
        if (tokenizer_) {
            return tokenizer_;
        }
    }
    auto made = call_native([&] { return std::make_shared<const Tokenizer>(held); });
    const nb::ft_lock_guard lock(mutex_);
    if (!tokenizer_ && !is_closed()) {
        tokenizer_ = std::move(made);
    }
    return tokenizer_ ? tokenizer_ : made;
}

std::shared_ptr<StructureCompiler> PyModel::structures() const {
    const std::shared_ptr<const Tokenizer> held = tokenizer();
    const nb::ft_lock_guard lock(mutex_);
    if (structures_) {
        return structures_;
    }
    auto made = std::make_shared<StructureCompiler>(std::make_shared<const LlamaVocab>(held));
    if (!is_closed()) {
        structures_ = made;
    }
    return made;
}

void bind_model(nb::module_& m) {
    nb::class_<PyModel>(m, "Model", kModelDoc, nb::is_weak_referenceable())
        .def(
            "__init__",
            [](PyModel* self, nb::object path, nb::object gpu_layers, std::string load_mode,
               std::string split_mode, std::vector<std::string> devices, std::vector<float> tensor_split,
               nb::dict kv_overrides, std::map<std::string, std::string> tensor_overrides, bool vocab_only,
               bool check_tensors, bool repack, nb::object progress) {
                Progress watch(progress);
                ModelParams params;
                params.gpu_layers = layers_of(gpu_layers);
                params.load_mode = std::move(load_mode);
                params.split_mode = std::move(split_mode);
                params.devices = std::move(devices);
                params.tensor_split = std::move(tensor_split);
                params.kv_overrides = metadata_values(kv_overrides);
                params.tensor_overrides.assign(tensor_overrides.begin(), tensor_overrides.end());
                params.vocab_only = vocab_only;
                params.check_tensors = check_tensors;
                params.repack = repack;
                params.progress = [&watch](float done) { return watch(done); };
                const std::string file = file_path(path);
                try {
                    call_native([&] { new (self) PyModel(file, params); });
                } catch (const Error&) {
                    watch.rethrow();
                    throw;
                }
            },
            "path"_a, nb::kw_only(), "gpu_layers"_a = "auto", "load_mode"_a = "auto",
            "split_mode"_a = "layer", "devices"_a = std::vector<std::string>(),
            "tensor_split"_a = std::vector<float>(), "kv_overrides"_a = nb::dict(),
            "tensor_overrides"_a = nb::dict(), "vocab_only"_a = false, "check_tensors"_a = false,
            "repack"_a = true, "progress"_a = nb::none(), nb::sig(kInitSignature))
        .def(
            "close", [](PyModel& model) { model.close_all(); },
            "Let go of the weights; they are freed when no context, tokenizer or adapter needs them.")
        .def_prop_ro("closed", &PyModel::is_closed, "Whether ``close()`` was called.")
        .def(
            "__enter__", [](nb::object self) { return self; }, nb::sig("def __enter__(self) -> Model"))
        .def(
            "__exit__", [](PyModel& model, nb::args) { model.close_all(); },
            nb::sig("def __exit__(self, *exc: object) -> None"))
        .def("__repr__",
             [](const PyModel& model) {
                 return text_of("Model('" + model.path() + "'" + (model.is_closed() ? ", closed" : "") + ")");
             })
        .def_prop_ro(
            "path", [](const PyModel& model) { return text_of(model.path()); },
            "The file it was loaded from.")
        .def_prop_ro("tokenizer", &PyModel::tokenizer, "Its vocabulary; the same object each time.")
        .def_prop_ro("architecture", &PyModel::architecture, "Such as ``llama``.")
        .def_prop_ro("description", &PyModel::description, "llama.cpp's one-line summary.")
        .def_prop_ro("quantization", &PyModel::quantization,
                     "The main type of its weights, such as ``Q4_0``.")
        .def_prop_ro("n_params", &PyModel::n_params, "Number of weights.")
        .def_prop_ro("size_bytes", &PyModel::size_bytes, "Bytes of all tensors.")
        .def_prop_ro("n_ctx_train", &PyModel::n_ctx_train, "Tokens of context that it was trained with.")
        .def_prop_ro("n_embd", &PyModel::n_embd, "Width of its hidden state.")
        .def_prop_ro("n_embd_out", &PyModel::n_embd_out, "Width of the embeddings that it gives.")
        .def_prop_ro("n_layer", &PyModel::n_layer, "Number of layers.")
        .def_prop_ro("n_head", &PyModel::n_head, "Attention heads of the first layer.")
        .def_prop_ro("n_head_kv", &PyModel::n_head_kv, "Key-value heads of the first layer.")
        .def_prop_ro("n_swa", &PyModel::n_swa, "Tokens of its sliding window; 0 if it has none.")
        .def_prop_ro("rope_type", &PyModel::rope_type,
                     "``none``, ``norm``, ``neox``, ``mrope``, ``imrope``, ``vision``.")
        .def_prop_ro("has_encoder", &PyModel::has_encoder,
                     "Whether it reads its input with ``Context.encode``.")
        .def_prop_ro("has_decoder", &PyModel::has_decoder, "Whether it generates with ``Context.decode``.")
        .def_prop_ro("is_recurrent", &PyModel::is_recurrent, "Whether its memory is a state of fixed size.")
        .def_prop_ro("is_hybrid", &PyModel::is_hybrid, "Whether it has recurrent and attention layers.")
        .def_prop_ro("is_vocab_only", &PyModel::is_vocab_only, "Whether it was loaded without weights.")
        .def_prop_ro("decoder_start_token", &PyModel::decoder_start_token,
                     "First token of an encoder-decoder's output, or ``None``.")
        .def_prop_ro("classifier_labels", &PyModel::classifier_labels,
                     "Names of a classifier's outputs; often empty.")
        .def_prop_ro(
            "metadata", [](const PyModel& model) { return call_native([&] { return model.metadata(); }); },
            "Every metadata entry of the file as full text.")
        .def(
            "chat_template",
            [](const PyModel& model, std::optional<std::string> name) { return model.chat_template(name); },
            "name"_a = nb::none(),
            "Return the Jinja chat template called ``name``, or the default one, or ``None``.");
}

} // namespace inllama
