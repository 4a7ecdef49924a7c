#include "core/llama/tokenizer.h"

#include "bind/arrays.h"
#include "bind/call.h"
#include "bind/module.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>

namespace inllama {

namespace {

nb::bytes to_bytes(const std::string& bytes) {
    return nb::bytes(bytes.data(), bytes.size());
}

nb::object to_text(const std::string& bytes) {
    nb::object text =
        nb::steal(PyUnicode_DecodeUTF8(bytes.data(), static_cast<Py_ssize_t>(bytes.size()), "replace"));
    if (!text.is_valid()) {
        throw nb::python_error();
    }
    return text;
}

nb::list encode_batch(const Tokenizer& tokenizer, nb::handle texts, bool add_special, bool parse_special) {
    std::vector<std::string_view> views;
    const nb::list kept(texts); // the texts must outlive their views
    for (nb::handle text : kept) {
        views.push_back(utf8(text));
    }
    std::vector<std::vector<Token>> encoded;
    call_native([&] {
        for (const std::string_view view : views) {
            encoded.push_back(tokenizer.encode(view, add_special, parse_special));
        }
    });
    nb::list arrays;
    for (auto& tokens : encoded) {
        arrays.append(to_array(std::move(tokens)));
    }
    return arrays;
}

void bind_special_tokens(nb::class_<Tokenizer>& tokenizer) {
    tokenizer.def_prop_ro("bos", &Tokenizer::bos, "Beginning of a text.")
        .def_prop_ro("eos", &Tokenizer::eos, "End of a text.")
        .def_prop_ro("eot", &Tokenizer::eot, "End of a turn.")
        .def_prop_ro("sep", &Tokenizer::sep, "Separator of sentences.")
        .def_prop_ro("nl", &Tokenizer::nl, "Line end.")
        .def_prop_ro("pad", &Tokenizer::pad, "Padding.")
        .def_prop_ro("mask", &Tokenizer::mask, "Mask.")
        .def_prop_ro("fim_prefix", &Tokenizer::fim_prefix, "Fill in the middle: before the prefix.")
        .def_prop_ro("fim_suffix", &Tokenizer::fim_suffix, "Fill in the middle: before the suffix.")
        .def_prop_ro("fim_middle", &Tokenizer::fim_middle, "Fill in the middle: before what is filled in.")
        .def_prop_ro("fim_pad", &Tokenizer::fim_pad, "Fill in the middle: padding.")
        .def_prop_ro("fim_repository", &Tokenizer::fim_repository, "Fill in the middle: repository name.")
        .def_prop_ro("fim_separator", &Tokenizer::fim_separator, "Fill in the middle: between files.")
        .def_prop_ro(
            "end_tokens",
            [](const Tokenizer& self) { return to_array(std::vector<Token>(self.end_tokens())); },
            nb::rv_policy::move, "Every token that ends a generation, ascending.")
        .def_prop_ro("adds_bos", &Tokenizer::adds_bos, "Whether ``encode`` adds ``bos``.")
        .def_prop_ro("adds_eos", &Tokenizer::adds_eos, "Whether ``encode`` adds ``eos``.");
}

} // namespace

void bind_tokenizer(nb::module_& m) {
    nb::class_<TokenDecoder>(
        m, "TokenDecoder",
        "Turns tokens into text one at a time and never gives half a character. One thread at a time.")
        .def(
            "push", [](TokenDecoder& self, Token token) { return self.push(token); }, "token"_a,
            "Return the complete characters that ``token`` adds; often empty in the middle of a character.")
        .def("flush", &TokenDecoder::flush,
             "Return U+FFFD if a character is unfinished at the end, else nothing.");

    nb::class_<Tokenizer> tokenizer(
        m, "Tokenizer", "The vocabulary of a model: text to tokens and back. Immutable; any thread.",
        nb::is_weak_referenceable());
    tokenizer
        .def(
            "encode",
            [](const Tokenizer& self, nb::str text, bool add_special, bool parse_special) {
                const std::string_view view = utf8(text);
                return to_array(call_native([&] { return self.encode(view, add_special, parse_special); }));
            },
            "text"_a, nb::kw_only(), "add_special"_a = true, "parse_special"_a = false,
            R"doc(Return the tokens of ``text``, int32 ``(n_tokens,)``, owned by the caller.

Args:
    text: Any text; NUL is an ordinary character.
    add_special: Add the beginning and end tokens that the model asks for.
    parse_special: Turn the spelling of a control token, such as ``<|im_end|>``, into that token. Leave it off for
        text that you did not write: it lets a text forge the structure of a prompt.

Raises:
    InvalidRequestError: A lone surrogate, or a run of like characters too long for this vocabulary's regular
        expression; ``.n_run`` and ``.limit`` say how long.
)doc")
        .def("encode_batch", &encode_batch, "texts"_a, nb::kw_only(), "add_special"_a = true,
             "parse_special"_a = false,
             nb::sig(
                 "def encode_batch(self, texts: collections.abc.Iterable[str], *, add_special: bool = True, "
                 "parse_special: bool = False) -> list[numpy.typing.NDArray[numpy.int32]]"),
             "Return the tokens of each text, as ``encode`` does, in order.")
        .def(
            "decode",
            [](const Tokenizer& self, nb::object tokens, bool special) {
                const std::vector<Token> ids = integers(tokens, "token");
                return to_text(call_native([&] { return self.decode_bytes(ids, special); }));
            },
            "tokens"_a, nb::kw_only(), "special"_a = false,
            nb::sig("def decode(self, tokens: numpy.typing.NDArray[numpy.integer] | "
                    "collections.abc.Iterable[int], *, special: bool = False) -> str"),
            "Return the text of ``tokens``, control tokens only with ``special``; bytes that are no UTF-8 "
            "become U+FFFD.")
        .def(
            "decode_bytes",
            [](const Tokenizer& self, nb::object tokens, bool special) {
                const std::vector<Token> ids = integers(tokens, "token");
                return to_bytes(call_native([&] { return self.decode_bytes(ids, special); }));
            },
            "tokens"_a, nb::kw_only(), "special"_a = false,
            nb::sig("def decode_bytes(self, tokens: numpy.typing.NDArray[numpy.integer] | "
                    "collections.abc.Iterable[int], *, special: bool = False) -> bytes"),
            "Return the bytes of ``tokens``, which may end inside a character.")
        .def(
            "piece",
            [](const Tokenizer& self, Token token, bool special) {
                return to_bytes(self.piece(token, special));
            },
            "token"_a, nb::kw_only(), "special"_a = true, "Return the bytes that one token stands for.")
        .def(
            "decoder",
            [](std::shared_ptr<const Tokenizer> self, bool special) {
                return new TokenDecoder(self, special);
            },
            nb::kw_only(), "special"_a = false, nb::rv_policy::take_ownership,
            "Return a decoder for a stream of tokens.")
        .def(
            "token_text", [](const Tokenizer& self, Token token) { return to_text(self.token_text(token)); },
            "token"_a, nb::sig("def token_text(self, token: int) -> str"),
            "Return the token's spelling in the vocabulary.")
        .def("score", &Tokenizer::score, "token"_a, "Return the token's score in the vocabulary.")
        .def("is_end", &Tokenizer::is_end, "token"_a, "Return whether the token ends a generation.")
        .def("is_control", &Tokenizer::is_control, "token"_a,
             "Return whether the token has no text of its own.")
        .def_prop_ro("n_tokens", &Tokenizer::n_tokens, "Size of the vocabulary.")
        .def("__len__", &Tokenizer::n_tokens)
        .def_prop_ro("type", &Tokenizer::type, "``spm``, ``bpe``, ``wpm``, ``ugm``, ``rwkv``, ``plamo2``.");
    bind_special_tokens(tokenizer);
}

} // namespace inllama
