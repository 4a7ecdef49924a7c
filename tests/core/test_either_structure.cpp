#include "core/either_structure.h"

#include "check.h"
#include "structure_fixture.h"

using namespace inllama;

namespace {

std::unique_ptr<MaskSource> either(std::vector<std::string> first, std::vector<std::string> second) {
    const EitherStructure structure(std::make_shared<TextsStructure>(std::move(first)),
                                    std::make_shared<TextsStructure>(std::move(second)));
    return structure.start();
}

// The bytes that may come next.
std::string next(MaskSource& source) {
    std::vector<uint32_t> mask(mask_words(FakeVocab().size()));
    CHECK(source.fill(mask.data()));
    std::string bytes;
    for (int i = 0; i < 256; i++) {
        bytes += (mask[static_cast<size_t>(i) / 32] >> (i % 32) & 1) != 0
                     ? std::string(1, static_cast<char>(i))
                     : "";
    }
    return bytes;
}

} // namespace

TEST("either structure may begin, and the first byte that only one has decides") {
    const auto source = either({"call"}, {"cat", "dog"});
    CHECK_EQ(next(*source), "cd");
    CHECK(source->accept('c'));
    CHECK(source->accept('a'));
    CHECK_EQ(next(*source), "lt");
    CHECK(source->accept('l'));
    CHECK_EQ(next(*source), "l");
    CHECK(!source->accept('t'));
    CHECK(source->accept_bytes("l"));
    CHECK(source->can_end());
}

TEST("the second of two structures can be the one") {
    const auto source = either({"call"}, {"dog"});
    CHECK(source->accept_bytes("dog"));
    CHECK(source->can_end());
    CHECK(!source->is_done());
    CHECK(source->accept(FakeVocab().size() - 1));
    CHECK(source->is_done());
}

TEST("steps that are taken back bring a structure back that they had ruled out") {
    const auto source = either({"call"}, {"cat"});
    CHECK(source->accept_bytes("ca"));
    CHECK(source->accept('t'));
    CHECK(source->can_end());
    source->rollback(1);
    CHECK_EQ(next(*source), "lt");
    CHECK(source->accept_bytes("ll"));
    source->rollback(2);
    CHECK_EQ(next(*source), "c");
}
