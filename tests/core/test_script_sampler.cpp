#include "check.h"
#include "core/script_sampler.h"

#include <limits>

using namespace inllama;

namespace {

constexpr Token kEnd = 256;

ScriptSampler sampler_of(Script script, bool obeys_logits = false) {
    return {std::make_shared<const Script>(std::move(script)), kEnd, obeys_logits};
}

const std::vector<float> kZeros(257, 0.0f);

Token choose(ScriptSampler& sampler, const std::vector<float>& logits = kZeros, bool may_end = true) {
    return sampler.choose(logits.data(), logits.size(), may_end);
}

} // namespace

TEST("a script is chosen byte by byte, and then the end token") {
    ScriptSampler sampler = sampler_of({"a\xC3", {}});
    CHECK_EQ(choose(sampler), 'a');
    CHECK_EQ(choose(sampler), 0xC3);
    CHECK_EQ(choose(sampler), kEnd);
}

TEST("a script that must not end yet goes on with spaces") {
    ScriptSampler sampler = sampler_of({"a", {}});
    CHECK_EQ(choose(sampler), 'a');
    CHECK_EQ(choose(sampler, kZeros, false), ' ');
    CHECK_EQ(choose(sampler), kEnd);
    ScriptSampler endless = sampler_of({"", {}, false});
    CHECK_EQ(choose(endless), ' ');
}

TEST("a script fails after as many tokens as it says") {
    ScriptSampler sampler = sampler_of({"abc", 2});
    choose(sampler);
    choose(sampler);
    CHECK_ERROR(choose(sampler), ErrorKind::EngineError, "the script of the fake engine fails here");
}

TEST("a larger logit takes the script's place, if they count") {
    std::vector<float> logits = kZeros;
    logits['x'] = 1;
    ScriptSampler deaf = sampler_of({"ab", {}});
    CHECK_EQ(choose(deaf, logits), 'a');
    ScriptSampler sampler = sampler_of({"ab", {}}, true);
    CHECK_EQ(choose(sampler, logits), 'x');
    CHECK_EQ(choose(sampler), 'b');
    logits[kEnd] = 2;
    CHECK_EQ(choose(sampler, logits, false), 'x');
    CHECK_EQ(choose(sampler, logits), kEnd);
}

TEST("what is excluded becomes a space") {
    std::vector<float> logits = kZeros;
    logits['a'] = -std::numeric_limits<float>::infinity();
    ScriptSampler sampler = sampler_of({"ab", {}}, true);
    CHECK_EQ(choose(sampler, logits), ' ');
    CHECK_EQ(choose(sampler, logits), 'b');
}
