#include "core/json_shape.h"
#include "tests/core/check.h"

using inllama::check_json_shape;
using inllama::ErrorKind;

namespace {

std::string repeated(const std::string& text, size_t n) {
    std::string all;
    for (; n > 0; n--)
        all += text;
    return all;
}

} // namespace

TEST("JSON of a usual shape passes") {
    check_json_shape(R"({"a": [1, {"b": "}{][\":"}], "c": {}})", "it");
    check_json_shape(repeated("[", inllama::kMaxJsonDepth), "it");
    check_json_shape("", "it");
    check_json_shape("\"\\", "it");
}

TEST("JSON that is nested too deeply is refused") {
    CHECK_ERROR(check_json_shape(repeated("[", 60000), "tools"), ErrorKind::InvalidRequestError,
                "tools is nested deeper than 128; make it smaller");
    CHECK_THROWS_AS(check_json_shape(repeated("{\"a\":", 129), "it"), inllama::Error);
}

TEST("an object with too many members is refused") {
    CHECK_ERROR(check_json_shape("{" + repeated("\"a\":1,", 4097) + "}", "it"),
                ErrorKind::InvalidRequestError,
                "it has an object with more members than 4096; make it smaller");
    check_json_shape("[" + repeated("{\"a\":1},", 5000) + "]", "it");
}

TEST("brackets in strings do not count") {
    check_json_shape("\"" + repeated("[", 1000) + "\"", "it");
}
