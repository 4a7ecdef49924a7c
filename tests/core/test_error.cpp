#include "core/error.h"
#include "tests/core/check.h"

#include <set>

using inllama::Error;
using inllama::ErrorKind;

TEST("every error kind is listed once, at its own index, after its parent") {
    std::set<std::string> seen;
    const auto kinds = inllama::error_kinds();
    for (size_t i = 0; i < kinds.size(); i++) {
        CHECK_EQ(static_cast<size_t>(kinds[i].kind), i);
        CHECK(seen.insert(kinds[i].name).second);
        CHECK(i == 0 ? std::string(kinds[i].parent_name).empty() : seen.count(kinds[i].parent_name) == 1);
        CHECK(i == 0 || kinds[i].parent < kinds[i].kind);
    }
    CHECK_EQ(kinds.size(), size_t{17});
    CHECK_EQ(std::string(kinds[0].name), "InllamaError");
}

TEST("an error kind is of the kind of each of its ancestors and of no other") {
    CHECK(inllama::is_kind_of(ErrorKind::ContextFullError, ErrorKind::ContextFullError));
    CHECK(inllama::is_kind_of(ErrorKind::ContextFullError, ErrorKind::InvalidRequestError));
    CHECK(inllama::is_kind_of(ErrorKind::ContextFullError, ErrorKind::InllamaError));
    CHECK(!inllama::is_kind_of(ErrorKind::ContextFullError, ErrorKind::EngineError));
    CHECK(!inllama::is_kind_of(ErrorKind::InllamaError, ErrorKind::EngineError));
    CHECK(inllama::is_kind_of(ErrorKind::ConcurrentUseError, ErrorKind::EngineError));
}

TEST("a thrown error carries its kind, text and fields in the order they were added") {
    try {
        const unsigned long n_ctx = 8192;
        throw Error(ErrorKind::ContextFullError, "prompt has 9214 tokens but n_ctx is 8192")
            .with("n_prompt", 9214)
            .with("n_ctx", n_ctx)
            .with("fill", 1.5f)
            .with("is_final", true)
            .with("where", "prompt");
    } catch (const std::exception& caught) {
        CHECK_EQ(std::string(caught.what()), "prompt has 9214 tokens but n_ctx is 8192");
        const auto& error = dynamic_cast<const Error&>(caught);
        CHECK(error.kind() == ErrorKind::ContextFullError);
        const Error::Fields expected = {{"n_prompt", int64_t{9214}},
                                        {"n_ctx", int64_t{8192}},
                                        {"fill", 1.5},
                                        {"is_final", true},
                                        {"where", std::string("prompt")}};
        CHECK(error.fields() == expected);
    }
}

TEST("a field is found by name and a missing one is null") {
    Error error(ErrorKind::GrammarError, "text");
    error.with("line", 3);
    CHECK(error.field("line") != nullptr && *error.field("line") == inllama::FieldValue(int64_t{3}));
    CHECK(error.field("column") == nullptr);
}

TEST("an unsigned field value beyond int64 is clamped") {
    const Error error = Error(ErrorKind::StateError, "text").with("n_bytes", ~uint64_t{0});
    CHECK(*error.field("n_bytes") == inllama::FieldValue(std::numeric_limits<int64_t>::max()));
}
