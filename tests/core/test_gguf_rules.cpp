#include "check.h"
#include "core/gguf_rules.h"
#include "gguf_bytes.h"

#include <cstring>
#include <limits>

using namespace inllama;
using namespace gguf_bytes;

namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinite = std::numeric_limits<float>::infinity();

// The key of an entry as it was made.
std::string key_of(const std::string& entry) {
    uint64_t n = 0;
    std::memcpy(&n, entry.data(), sizeof(n));
    return entry.substr(sizeof(n), n);
}

// A sound model, with entries of another one in the place of those with their keys.
File model(const std::string& architecture, const std::vector<std::string>& changes) {
    const std::string a = architecture + ".";
    File file;
    file.entries = {words("general.architecture", architecture),
                    u32(a + "context_length", 128),
                    u32(a + "embedding_length", 64),
                    u32(a + "block_count", 3),
                    u32(a + "attention.head_count", 4),
                    u32(a + "attention.head_count_kv", 2),
                    words("tokenizer.ggml.model", "llama"),
                    texts("tokenizer.ggml.tokens", {"<unk>", "<0x0A>", "b"}),
                    numbers<int32_t>("tokenizer.ggml.token_type", GgufType::i32, {2, 6, 1}),
                    numbers<float>("tokenizer.ggml.scores", GgufType::f32, {0, 0, 0})};
    for (const std::string& change : changes) {
        bool is_new = true;
        for (std::string& entry : file.entries) {
            if (key_of(entry) == key_of(change)) {
                entry = change;
                is_new = false;
            }
        }
        if (is_new) {
            file.entries.push_back(change);
        }
    }
    file.add("token_embd.weight", {64, 3}).add("output_norm.weight", {64});
    return file;
}

std::string problem(const File& file, Gguf::Wanted wanted) {
    const std::string bytes = file.bytes();
    MemorySource source(bytes, "x");
    const Gguf read(source, Gguf::Extent::file, wanted);
    try {
        check_gguf_model(read);
        return "";
    } catch (const Error& error) {
        CHECK(error.kind() == ErrorKind::ModelLoadError);
        CHECK(!std::get<std::string>(*error.field("where")).empty());
        return std::get<std::string>(*error.field("reason"));
    }
}

// The same whether all of the file is kept, or what the rules want of it.
std::string problem(const File& file) {
    const std::string said = problem(file, nullptr);
    CHECK_EQ(problem(file, gguf_rules_want), said);
    return said;
}

std::string llama(const std::vector<std::string>& changes) {
    return problem(model("llama", changes));
}

// That the change is refused, at its own place and with these words.
void check_refused(const std::string& change, const std::string& words_in_it,
                   const std::string& architecture = "llama", std::vector<std::string> others = {}) {
    others.push_back(change);
    const std::string said = problem(model(architecture, others));
    if (said.find("entry " + key_of(change)) != 0 || said.find(words_in_it) == std::string::npos) {
        check::fail(__FILE__, __LINE__, key_of(change) + ": " + (said.empty() ? "accepted" : said));
    }
}

std::string flag(const std::string& key, uint8_t value) {
    return entry(key, GgufType::flag, raw(value));
}

} // namespace

TEST("a sound model passes, and so does what is unknown") {
    CHECK_EQ(llama({}), "");
    CHECK_EQ(llama({u32("something.else", 7), words("llama.unknown", "x"), texts("more", {"a"}),
                    u32(".block_count", 0), u32("gemma.block_count", 100000)}),
             "");
    CHECK_EQ(
        llama({words("tokenizer.chat_template", "{{ x }}"), u32("general.file_type", 2),
               f32("llama.rope.freq_base", 10000), f32("llama.attention.layer_norm_rms_epsilon", 1e-5f)}),
        "");
    File empty;
    CHECK_EQ(problem(empty), "");
}

TEST("entries of another type are refused") {
    check_refused(u32("general.architecture", 3), "is of type u32; it must be text", "");
    check_refused(words("llama.block_count", "3"), "it must be an integer");
    check_refused(f32("llama.context_length", 3), "it must be an integer");
    check_refused(u32("llama.rope.freq_base", 3), "it must be a real number");
    check_refused(u32("tokenizer.ggml.add_bos_token", 1), "it must be a bool");
    check_refused(u32("split.no", 0), "it must be u16");
    check_refused(u32("split.count", 0), "it must be u16");
    check_refused(numbers<uint32_t>("llama.block_count", GgufType::u32, {3}), "is an array");
    check_refused(words("tokenizer.ggml.tokens", "a"), "must be an array");
    check_refused(numbers<int8_t>("tokenizer.ggml.scores", GgufType::i8, {1, 2, 3}), "f32");
    check_refused(numbers<int8_t>("tokenizer.ggml.token_type", GgufType::i8, {1, 1, 1}), "it must be i32");
    check_refused(numbers<uint32_t>("tokenizer.ggml.tokens", GgufType::u32, {1}), "it must be text");
    check_refused(numbers<uint32_t>("tokenizer.ggml.merges", GgufType::u32, {1}), "it must be text");
    check_refused(words("adapter.lora.alpha", "eight"), "it must be f32");
    check_refused(u32("adapter.type", 1), "it must be text");
    check_refused(u32("tokenizer.chat_template", 1), "it must be text");
}

TEST("no name of an architecture hides an entry from its rule") {
    check_refused(u32("tokenizer.ggml.model", 1), "it must be text", "tokenizer");
    check_refused(u32("tokenizer.ggml.model", 1), "it must be text", "tokenizer.ggml");
    check_refused(u32("split.count", 1), "it must be u16", "split");
    check_refused(numbers<uint32_t>("general.file_type", GgufType::u32, {}), "is an array", "general");
    for (const char* architecture : {".x", ".", "a.b", "x."}) {
        const std::string prefix = architecture;
        check_refused(entry(prefix + ".rope.scaling.type", GgufType::u8, raw<uint8_t>(255)),
                      "it must be text", prefix);
        check_refused(u32(prefix + ".block_count", UINT32_MAX), "it must be from 1 to 512", prefix);
    }
}

TEST("without an architecture, no entry is one of it") {
    const auto problem_of = [](std::vector<std::string> entries) {
        entries.insert(entries.end(), {u32(".block_count", UINT32_MAX), u32(".attention.head_count", 1),
                                       texts(".rope.scaling.type", {})});
        File file;
        file.entries = entries;
        return problem(file);
    };
    CHECK_EQ(problem_of({}), "");
    CHECK_EQ(problem_of({words("general.architecture", "")}), "");
}

TEST("numbers out of their range are refused") {
    check_refused(u32("llama.block_count", 0), "is 0; it must be from 1 to 512");
    check_refused(u32("llama.block_count", 513), "is 513; it must be from 1 to 512");
    check_refused(u32("llama.block_count", UINT32_MAX), "from 1 to 512");
    check_refused(u32("llama.context_length", 0), "from 1");
    check_refused(u32("llama.embedding_length", UINT32_MAX), "to 1048576");
    check_refused(u32("llama.expert_count", 1025), "to 1024");
    check_refused(u32("llama.expert_gating_func", 5), "from 0 to 4");
    check_refused(u32("llama.token_shift_count", 3), "from 0 to 2");
    check_refused(u32("llama.attention.sliding_window", 1u << 31), "to 4194304");
    check_refused(f32("llama.attention.layer_norm_rms_epsilon", -1), "from 0 to 1");
    check_refused(f32("llama.attention.layer_norm_epsilon", kNan), "from 0 to 1");
    check_refused(f32("llama.rope.freq_base", 0), "must be from");
    check_refused(f32("llama.rope.freq_base", kNan), "is nan");
    check_refused(f32("llama.rope.scaling.factor", kInfinite), "is inf");
    check_refused(numbers<uint32_t>("llama.feed_forward_length", GgufType::u32, {1, 2, UINT32_MAX}),
                  "at place 2");
    check_refused(u16("split.count", 10001), "to 10000");
}

TEST("arrays of layers have as many values as there are layers") {
    for (const char* key : {"feed_forward_length", "attention.head_count", "attention.head_count_kv"}) {
        const std::string name = std::string("llama.") + key;
        CHECK_EQ(llama({numbers<uint32_t>(name, GgufType::u32, {4, 4, 4})}), "");
        check_refused(numbers<uint32_t>(name, GgufType::u32, {4, 4}), "has 2 values, but there are 3 layers");
    }
    check_refused(u32("llama.nextn_predict_layers", 4), "above the number of layers");
    check_refused(u32("llama.n_deepstack_layers", 4), "above the number of layers");
}

TEST("heads are there and divide") {
    check_refused(u32("llama.attention.head_count", 0), "at least 1");
    check_refused(u32("llama.attention.head_count_kv", 3), "does not divide");
    for (const char* architecture : {"llama", "olmo2", "lfm2", "phimoe"}) {
        check_refused(
            numbers<uint32_t>(architecture + std::string(".attention.head_count"), GgufType::u32, {0, 4, 4}),
            "is 0 for the first layer", architecture);
    }
    CHECK_EQ(
        problem(model("plamo2", {numbers<uint32_t>("plamo2.attention.head_count", GgufType::u32, {0, 4, 4}),
                                 u32("plamo2.ssm.group_count", 0)})),
        "");
    check_refused(numbers<uint32_t>("llama.attention.head_count_kv", GgufType::u32, {2, 2, 3}),
                  "for layer 2");
    check_refused(u32("llama.attention.head_count", 6), "does not divide the width, 64");
    CHECK_EQ(llama({u32("llama.attention.head_count", 6), u32("llama.attention.key_length", 32),
                    u32("llama.attention.value_length", 32)}),
             "");
    check_refused(u32("llama.attention.key_length", 32), "must be that of values, 16");
    check_refused(u32("llama.rope.dimension_count", 8), "must be all of a head, 16");
    CHECK_EQ(problem(model("phi2", {u32("phi2.rope.dimension_count", 8)})), "");
    check_refused(u32("phi2.attention.value_length", 8), "divided by the 4 heads", "phi2");
    check_refused(u32("gemma3.attention.key_length_swa", 8), "that of other layers, 16", "gemma3");
    check_refused(u32("gemma3.attention.value_length_swa", 8), "that of other layers, 16", "gemma3");
    CHECK_EQ(problem(model("gemma4", {u32("gemma4.attention.key_length_swa", 8)})), "");
    const std::vector<std::string> compressed = {
        u32("deepseek2.attention.kv_lora_rank", 8), u32("deepseek2.rope.dimension_count", 4),
        u32("deepseek2.attention.key_length", 12), u32("deepseek2.attention.key_length_mla", 32)};
    CHECK_EQ(problem(model("deepseek2", compressed)), "");
    std::vector<std::string> other = compressed;
    other.erase(other.begin() + 2);
    check_refused(u32("deepseek2.attention.key_length", 40), "together, 12", "deepseek2", other);
    other = compressed;
    other.pop_back();
    check_refused(u32("deepseek2.attention.key_length_mla", 4), "above the rotated dimensions, 4",
                  "deepseek2", other);
    check_refused(u32("dots3note.attention.key_length_swa", 16), "together, 12", "dots3note",
                  {u32("dots3note.attention.kv_lora_rank", 8), u32("dots3note.rope.dimension_count", 4),
                   u32("dots3note.attention.key_length", 12), u32("dots3note.attention.key_length_mla", 32)});
    check_refused(u32("bert.embedding_length_out", 128), "nothing makes vectors", "bert");
    CHECK_EQ(problem(model("deepseek4", {u32("deepseek4.embedding_length_out", 256)})), "");
    CHECK(problem(model("t5", {})).find("tensor enc.blk.0.attn_rel_b.weight is missing") == 0);
    CHECK_EQ(llama({numbers<uint32_t>("llama.attention.head_count_kv", GgufType::u32, {2, 0, 4})}), "");
    check_refused(u32("lfm2.attention.key_length", 32), "divided by the 4 heads", "lfm2");
    check_refused(u32("lfm2.attention.value_length", 8), "divided by the 4 heads", "lfm2");
    CHECK_EQ(problem(model("lfm2", {u32("lfm2.attention.key_length", 16)})), "");
    CHECK_EQ(problem(model("mamba",
                           {u32("mamba.attention.head_count", 0), u32("mamba.attention.head_count_kv", 0)})),
             "");
}

TEST("rotated dimensions fit a head") {
    CHECK_EQ(llama({u32("llama.rope.dimension_count", 16)}), "");
    check_refused(u32("llama.rope.dimension_count", 18), "at most a head's width, 16");
    check_refused(u32("llama.rope.dimension_count", 15), "must be even");
    check_refused(u32("llama.rope.dimension_count_swa", 0), "at least 2");
    CHECK_EQ(problem(model("deepseek2", {u32("deepseek2.rope.dimension_count", 0),
                                         u32("deepseek2.attention.kv_lora_rank", 8)})),
             "");
    CHECK_EQ(problem(model("phi2", {u32("phi2.rope.dimension_count", 10)})), "");
    check_refused(words("llama.rope.scaling.type", "sideways"),
                  "must be one of none, linear, yarn and longrope");
    CHECK_EQ(llama({words("llama.rope.scaling.type", "yarn")}), "");
    check_refused(numbers<int32_t>("qwen2vl.rope.dimension_sections", GgufType::i32, {0, 0, 0, 0}),
                  "not all 0", "qwen2vl");
    check_refused(numbers<int32_t>("llama.rope.dimension_sections", GgufType::i32, {1, -1, 1, 1}), "has -1");
    CHECK_EQ(llama({numbers<int32_t>("llama.rope.dimension_sections", GgufType::i32, {2, 3, 3, 0})}), "");
    CHECK_EQ(llama({numbers<int32_t>("llama.rope.dimension_sections", GgufType::i32, {0, 0, 0, 0})}), "");
    check_refused(numbers<int32_t>("qwen35.rope.dimension_sections", GgufType::i32, {8, 8, 8, 0}),
                  "a head has 16", "qwen35");
    CHECK(problem(model("paddleocr", {})).find("must be there") != std::string::npos);
}

TEST("experts in use are some of those that there are") {
    const std::vector<std::string> eight = {u32("llama.expert_count", 8), u32("llama.expert_used_count", 2)};
    CHECK_EQ(llama(eight), "");
    check_refused(u32("llama.expert_used_count", 9), "is 9 at most", "llama", eight);
    check_refused(u32("llama.expert_used_count", 0), "at least 1", "llama", eight);
    check_refused(u32("llama.expert_used_count", 1), "none can be used");
    check_refused(u32("llama.expert_group_count", 8), "below the number of experts", "llama", eight);
    check_refused(u32("llama.expert_group_count", 3), "must divide", "llama", eight);
    check_refused(u32("llama.expert_group_count", 4), "be at least 1", "llama", eight);
    check_refused(u32("grovemoe.experts_per_group", 9), "above the number of experts", "grovemoe",
                  {u32("grovemoe.expert_count", 8), u32("grovemoe.expert_used_count", 2)});
    check_refused(u32("qwen3moe.expert_count", 0), "must be at least 1", "qwen3moe");
    CHECK_EQ(problem(model("hunyuan-dense", {u32("hunyuan-dense.expert_count", 1)})), "");
    std::vector<std::string> groups = eight;
    groups.push_back(u32("llama.expert_group_count", 4));
    groups.push_back(u32("llama.expert_group_used_count", 2));
    CHECK_EQ(llama(groups), "");
}

TEST("some architectures take fewer values") {
    struct Case {
        const char *architecture, *key;
        uint32_t bad;
    };
    const Case cases[] = {{"qwen35", ".full_attention_interval", 0},
                          {"grovemoe", ".experts_per_group", 0},
                          {"plamo2", ".ssm.group_count", 2},
                          {"nanbeige", ".num_loops", 0},
                          {"hrm_text", ".hrm.layers_per_stack", 0},
                          {"hrm_text", ".hrm.h_cycles", 0},
                          {"hrm_text", ".hrm.l_cycles", 0},
                          {"dflash", ".block_size", 0},
                          {"wavtokenizer-dec", ".attention.group_norm_groups", 0},
                          {"deepseek4", ".attention.output_group_count", 0},
                          {"deepseek4", ".hyper_connection.count", 3},
                          {"minimax-m3", ".attention.indexer.block_size", 0},
                          {"glm5-next", ".attention.indexer.kpool", 1},
                          {"t5encoder", ".attention.relative_buckets_count", 3},
                          {"lfm2", ".shortconv.l_cache", 1},
                          {"rwkv7", ".wkv.head_size", 0},
                          {"rwkv7", ".token_shift_count", 0},
                          {"kimi-k3", ".kda.head_dim", 0},
                          {"mamba", ".ssm.conv_kernel", 0},
                          {"mamba", ".ssm.inner_size", 0},
                          {"mamba", ".ssm.state_size", 0},
                          {"mamba2", ".ssm.time_step_rank", 0},
                          {"mamba2", ".ssm.group_count", 0}};
    for (const Case& one : cases) {
        check_refused(u32(one.architecture + std::string(one.key), one.bad), "it must be from",
                      one.architecture);
        CHECK_EQ(llama({u32("llama" + std::string(one.key),
                            one.key == std::string(".token_shift_count") ? 1 : one.bad)}),
                 "");
    }
    CHECK_EQ(problem(model("plamo2", {u32("plamo2.ssm.group_count", 0)})), "");
    check_refused(numbers<uint32_t>("qwen4exp.attention.compress_ratios", GgufType::u32, {4, 65}), "has 65",
                  "qwen4exp");
    check_refused(u32("ernie4_5-moe.interleave_moe_layer_step", 0), "layers are divided", "ernie4_5-moe");
    check_refused(u32("mamba2.ssm.inner_size", 100), "must divide it", "mamba2",
                  {u32("mamba2.ssm.time_step_rank", 3), u32("mamba2.ssm.group_count", 1)});
    check_refused(u32("glm5-next.attention.indexer.top_k", 9), "kpool, 4, does not divide", "glm5-next",
                  {u32("glm5-next.attention.indexer.kpool", 4)});
    check_refused(u32("hrm_text.block_count", 3), "the stacks and cycles make it 6", "hrm_text",
                  {u32("hrm_text.hrm.layers_per_stack", 1), u32("hrm_text.hrm.h_cycles", 2),
                   u32("hrm_text.hrm.l_cycles", 2)});
    check_refused(u32("deepseek4.rope.dimension_count_swa", 18), "a head's width, 16", "deepseek4");
    check_refused(u32("glm-dsa.rope.dimension_count", 8), "the indexer's width, 4", "glm-dsa",
                  {u32("glm-dsa.attention.indexer.key_length", 4)});
    check_refused(u32("llama4.attention.sliding_window", 0), "aborts without a window", "llama4");
    check_refused(u32("jamba.ssm.inner_size", 100), "twice the width", "jamba");
    check_refused(u32("rwkv6.wkv.head_size", 48), "does not divide the width", "rwkv6");
    check_refused(u32("deepseek2.attention.temperature_length", 0), "at least 1", "deepseek2",
                  {f32("deepseek2.attention.temperature_scale", 0.5f)});
    check_refused(u32("gemma-embedding.dense_2_feat_in", 63), "must be the width", "gemma-embedding");
    const std::string windows =
        numbers<uint32_t>("gemma4.attention.sliding_window_pattern", GgufType::u32, {1, 0, 1});
    CHECK_EQ(problem(model("gemma4", {windows, u32("gemma4.attention.shared_kv_layers", 1)})), "");
    check_refused(u32("gemma4.attention.shared_kv_layers", 2), "before those layers", "gemma4", {windows});
    check_refused(u32("gemma4.attention.shared_kv_layers", 3), "before those layers", "gemma4", {windows});
}

TEST("tokens with the same text are named, as llama.cpp sees them") {
    const auto problem_of = [](const std::vector<std::string>& all) {
        const std::string bytes = model("llama", {texts("tokenizer.ggml.tokens", all)}).bytes();
        MemorySource source(bytes, "x");
        const Gguf file(source);
        try {
            check_gguf_token_texts(file);
            return std::string();
        } catch (const Error& error) {
            CHECK(error.kind() == ErrorKind::ModelLoadError);
            CHECK_EQ(std::get<std::string>(*error.field("where")), "entry tokenizer.ggml.tokens");
            return std::get<std::string>(*error.field("reason"));
        }
    };
    CHECK_EQ(problem_of({"a", "b", "a", "b"}),
             "entry tokenizer.ggml.tokens has the same text twice: token 0 ('a') and token 2");
    CHECK_EQ(problem_of({"b", "a", std::string("a\0b", 3)}),
             "entry tokenizer.ggml.tokens has the same text twice: token 1 ('a') and token 2");
    CHECK_EQ(problem_of({"", "b", "[EMPTY_0]"}),
             "entry tokenizer.ggml.tokens has the same text twice: token 0 ('[EMPTY_0]') and token 2");
    CHECK_EQ(problem_of({"[EMPTY_2]", "b", std::string("\0c", 2)}),
             "entry tokenizer.ggml.tokens has the same text twice: token 0 ('[EMPTY_2]') and token 2");
    CHECK_EQ(problem_of({"", "b", std::string("\0", 1), "[EMPTY_1]"}), "");
}

TEST("tokens of a file that was not checked are compared if there are any") {
    const auto is_passed = [](const std::vector<std::string>& entries) {
        File file;
        file.entries = entries;
        const std::string bytes = file.bytes();
        MemorySource source(bytes, "x");
        try {
            check_gguf_token_texts(Gguf(source));
            return true;
        } catch (const Error&) {
            return false;
        }
    };
    const std::string twice = texts("tokenizer.ggml.tokens", {"a", "a"});
    CHECK(!is_passed({words("tokenizer.ggml.model", "gpt2"), twice}));
    CHECK(is_passed({}));
    CHECK(is_passed({twice}));
    CHECK(is_passed({words("tokenizer.ggml.model", "no_vocab"), twice}));
    CHECK(is_passed({u32("tokenizer.ggml.model", 1), twice}));
    CHECK(is_passed({words("tokenizer.ggml.model", "gpt2"), words("tokenizer.ggml.tokens", "a")}));
    CHECK(is_passed({words("tokenizer.ggml.model", "gpt2"),
                     numbers<uint64_t>("tokenizer.ggml.tokens", GgufType::u64, {1 << 28, 1, 1, 1})}));
}

TEST("a vocabulary fits itself") {
    const auto tokens = [](const std::vector<std::string>& all) {
        return texts("tokenizer.ggml.tokens", all);
    };
    check_refused(tokens({}), "has 0 tokens");
    check_refused(tokens({std::string((1 << 16) + 1, 'a'), "<0x00>", "c"}), "has a text of 65537 bytes");
    const std::string four = tokens({"a", "<0x00>", "c", "d"});
    check_refused(numbers<float>("tokenizer.ggml.scores", GgufType::f32, {0, 0, 0}), "there are 4 tokens",
                  "llama",
                  {four, numbers<int32_t>("tokenizer.ggml.token_type", GgufType::i32, {1, 6, 1, 1})});
    check_refused(numbers<int32_t>("tokenizer.ggml.token_type", GgufType::i32, {1, 1}), "there are 3 tokens");
    check_refused(numbers<float>("tokenizer.ggml.scores", GgufType::f32, {0, kNan, 0}),
                  "not a number at place 1");
    // Ids out of range are replaced by llama.cpp.
    CHECK_EQ(llama({u32("tokenizer.ggml.bos_token_id", UINT32_MAX)}), "");
}

TEST("of arrays, the rules want what they look at") {
    const auto wanted = [](const std::vector<std::string>& before, const char* key) {
        File file;
        file.entries = before;
        const std::string bytes = file.bytes();
        MemorySource source(bytes, "x");
        return gguf_rules_want(Gguf(source), key);
    };
    for (const char* model : {"llama", "t5", "plamo2", "gemma4", "bert", "rwkv"}) {
        CHECK(wanted({words("tokenizer.ggml.model", model)}, "tokenizer.ggml.tokens"));
        CHECK(wanted({words("tokenizer.ggml.model", model)}, "tokenizer.ggml.token_type"));
        CHECK(!wanted({words("tokenizer.ggml.model", model)}, "tokenizer.ggml.merges"));
    }
    CHECK(!wanted({words("tokenizer.ggml.model", "gpt2")}, "tokenizer.ggml.tokens"));
    CHECK(!wanted({words("tokenizer.ggml.model", "gpt2")}, "tokenizer.ggml.token_type"));
    CHECK(wanted({words("tokenizer.ggml.model", "gpt2")}, "tokenizer.ggml.scores"));
    CHECK(wanted({words("tokenizer.ggml.model", "gpt2")}, "llama.attention.head_count"));
    // As long as it is not known, or far from the beginning.
    std::vector<std::string> many;
    for (int i = 0; i < 300; i++) {
        many.push_back(u32("k" + std::to_string(i), 1));
    }
    many.push_back(words("tokenizer.ggml.model", "gpt2"));
    CHECK(wanted(many, "tokenizer.ggml.tokens"));
    CHECK(wanted({}, "tokenizer.ggml.tokens"));
    CHECK(wanted({u32("tokenizer.ggml.model", 1)}, "tokenizer.ggml.tokens"));
}

TEST("byte tokens name a byte") {
    const std::string types = numbers<int32_t>("tokenizer.ggml.token_type", GgufType::i32, {2, 6, 1});
    for (const char* bad : {"<0x-1>", "<0xZZ>", "<0x0A", "x", "<0x0A>>", "<0X0A>"}) {
        check_refused(types, "must be like <0x0A>", "llama",
                      {texts("tokenizer.ggml.tokens", {"a", bad, "c"})});
    }
    CHECK_EQ(llama({types, texts("tokenizer.ggml.tokens", {"a", "<0xfE>", "c"})}), "");
    check_refused(types, "has none", "llama", {words("tokenizer.ggml.model", "bert")});
}

TEST("a vocabulary of RWKV can split every text") {
    const auto rwkv = [](const std::vector<std::string>& all) {
        return llama(
            {words("tokenizer.ggml.model", "rwkv"), texts("tokenizer.ggml.tokens", all),
             numbers<int32_t>("tokenizer.ggml.token_type", GgufType::i32,
                              std::vector<int32_t>(all.size(), 1)),
             numbers<float>("tokenizer.ggml.scores", GgufType::f32, std::vector<float>(all.size(), 0))});
    };
    CHECK_EQ(rwkv({"\\n", "a", "ab", "\\xff", "\\xff\\x00", "\\\\"}), "");
    CHECK(rwkv({"a"}).find("no token for the byte 10") != std::string::npos);
    CHECK(rwkv({"\\n", "ab"}).find("no token for the byte 97") != std::string::npos);
    CHECK(rwkv({"\\n", "\\xff\\x00"}).find("no token for the byte 255") != std::string::npos);
}

TEST("a map of characters stays inside of itself") {
    const auto map = [](const std::vector<uint8_t>& bytes) {
        return problem(
            model("llama", {words("tokenizer.ggml.model", "t5"),
                            numbers<uint8_t>("tokenizer.ggml.precompiled_charsmap", GgufType::u8, bytes)}));
    };
    CHECK_EQ(map({}), "");
    CHECK_EQ(map({4, 0, 0, 0, 1, 2, 3, 4, 'a', 0}), "");
    CHECK(map({4, 0, 0}).find("too few") != std::string::npos);
    CHECK(map({4, 0, 0, 0, 1, 2, 3, 4}).find("are a trie") != std::string::npos);
    CHECK(map({255, 255, 255, 255, 1, 2, 3, 4, 0}).find("are a trie") != std::string::npos);
    CHECK(map({3, 0, 0, 0, 1, 2, 3, 0}).find("are a trie") != std::string::npos);
    CHECK(map({4, 0, 0, 0, 1, 2, 3, 4, 'a'}).find("NUL") != std::string::npos);
}

TEST("a model without texts of tokens has as many as its table") {
    const auto without = [](uint32_t n) {
        return llama({words("tokenizer.ggml.model", "no_vocab"), u32("llama.vocab_size", n)});
    };
    CHECK_EQ(without(3), "");
    CHECK(without(4).find("the table of embeddings has 3 rows") != std::string::npos);
}

TEST("tensors have types that are computed with") {
    const auto typed = [](const char* name, uint32_t type) {
        File file = model("llama", {});
        file.add(name, {256, 1}, type);
        return problem(file);
    };
    CHECK_EQ(typed("blk.0.attn_q.weight", 12), "");
    CHECK_EQ(typed("d2t", 27), "");
    CHECK_EQ(typed("blk.0.ssm_alpha.weight", 12), "");
    CHECK_EQ(typed("blk.0.ssm_dt.weight", 1), "");
    CHECK_EQ(typed("blk.0.ffn_gate_tid2eid.weight", 26), "");
    CHECK(typed("blk.0.attn_q.weight", 26).find("must be a type of weights") != std::string::npos);
    CHECK(typed("blk.0.attn_q.weight", 28).find("must be a type of weights") != std::string::npos);
    CHECK(typed("blk.0.attn_q.weight", 15).find("must be a type of weights") != std::string::npos);
    for (const char* name :
         {"blk.0.attn_norm.weight", "blk.0.attn_q.bias", "rope_freqs.weight", "blk.0.ssm_a",
          "blk.0.ssm_conv1d.weight", "blk.0.attn_q.scale", "token_types.weight"}) {
        CHECK_EQ(typed(name, 0), "");
        CHECK(typed(name, 1).find("it must be f32") != std::string::npos);
    }
    File layers = model("llama", {});
    layers.add("blk.0.attn_norm.weight", {64}).add("blk.0.attn_q.weight", {64, 1}, 1);
    layers.add("blk.11.attn_q.weight", {64, 1}, 1).add("blk.x", {64, 1}, 1).add("blk.", {64, 1}, 1);
    CHECK_EQ(problem(layers), "");
    layers.add("blk.11.attn_norm.weight", {64}, 1);
    CHECK(problem(layers).find("tensor blk.11.attn_norm.weight is of type f16; it must be f32") == 0);
    for (const char* name :
         {"blk.scale", "blk.attn_norm", "blk.ssm_a", "blk.0_norm.weight", "blk.0x.bias", "blk..bias"}) {
        CHECK(typed(name, 1).find("it must be f32") != std::string::npos);
    }
    File gated =
        model("laguna", {u32("laguna.attention.key_length", 16), u32("laguna.attention.value_length", 16)});
    gated.add("blk.0.attn_gate.weight", {64, 4}).add("blk.1.attn_gate.weight", {64, 64});
    CHECK_EQ(problem(gated), "");
    gated.add("blk.2.attn_gate.weight", {64, 5});
    CHECK(problem(gated).find("tensor blk.2.attn_gate.weight has 5 rows; it must be 4 or 64") == 0);
    File file = model("llama", {});
    file.add("blk.0.ffn_up.weight", {64, 2}, 40).add("blk.0.ffn_up.bias", {2});
    CHECK_EQ(problem(file), "");
    file.add("blk.0.ffn_up.scale", {1});
    CHECK(problem(file).find("both a scale and a bias") != std::string::npos);
}

TEST("weights are aligned to 32 bytes") {
    File file = model("llama", {u32("general.alignment", 16)});
    file.alignment = 16;
    CHECK(problem(file).find("needs at least 32") != std::string::npos);
}

TEST("the parts of a model say which they are") {
    const auto part = [](const std::vector<std::string>& entries, uint32_t number) {
        File file;
        file.entries = entries;
        const std::string bytes = file.bytes();
        MemorySource source(bytes);
        check_gguf_part(Gguf(source), number);
    };
    part({u16("split.no", 1)}, 1);
    CHECK_THROWS(part({u16("split.no", 2)}, 1), Error, thrown.kind() == ErrorKind::ModelLoadError,
                 "ModelLoadError");
    CHECK_THROWS(part({}, 1), Error, thrown.kind() == ErrorKind::ModelLoadError, "ModelLoadError");
    File first;
    first.entries = {u16("split.count", 3)};
    const std::string bytes = first.bytes();
    MemorySource source(bytes);
    CHECK_EQ(gguf_files(Gguf(source)), 3u);
}

TEST("both halves of an adapter's pair fit each other") {
    const auto adapter = [](File file) -> std::string {
        const std::string bytes = file.bytes();
        MemorySource source(bytes);
        try {
            check_gguf_adapter(Gguf(source));
            return "";
        } catch (const Error& error) {
            return error.message();
        }
    };
    const auto pair = [](std::vector<int64_t> a, std::vector<int64_t> b, uint32_t type = 0) {
        return File().add("q.weight.lora_a", std::move(a), type).add("q.weight.lora_b", std::move(b));
    };
    CHECK_EQ(adapter(pair({64, 4}, {4, 64})), "");
    CHECK(adapter(pair({64, 4}, {8, 64})).find("different ranks") != std::string::npos);
    CHECK(adapter(pair({64, 4, 2}, {4, 64})).find("different ranks") != std::string::npos);
    CHECK(adapter(pair({64, 4, 1, 2}, {4, 64, 1, 2})).find("different ranks") != std::string::npos);
    CHECK(adapter(pair({64, 4}, {4, 64}, 26)).find("type of weights") != std::string::npos);
    CHECK(adapter(File().add("q.weight.lora_a", {64, 4})).find("no other half") != std::string::npos);
    CHECK_EQ(
        adapter(File().add("token_embd.weight.lora_a", {4, 64}).add("token_embd.weight.lora_b", {4, 64})),
        "");
    File typed = pair({64, 4}, {4, 64});
    typed.entries = {numbers<int32_t>("adapter.alora.invocation_tokens", GgufType::i32, {1})};
    CHECK(adapter(typed).find("must be u32") != std::string::npos);
}

TEST("flags are flags") {
    CHECK_EQ(llama({flag("llama.attention.causal", 1)}), "");
}

TEST("values that a user gives instead of a file's have the same limits") {
    CHECK_EQ(gguf_number_problem("llama.context_length", 128), "");
    CHECK_EQ(gguf_number_problem("llama.context_length", 0), "must be from 1 to 2147483647");
    CHECK_EQ(gguf_number_problem("llama.unknown", -1), "");
    CHECK_EQ(gguf_number_problem("nothing", -1), "");
    CHECK_EQ(gguf_number_problem("general.file_type", -1), "must be from 0 to 2147483647");
    CHECK(gguf_number_problem("llama.rope.freq_base", kNan) != "");
    CHECK_EQ(gguf_text_problem("llama.rope.scaling.type", "yarn"), "");
    CHECK_EQ(gguf_text_problem("llama.rope.scaling.type", "x"),
             "must be one of none, linear, yarn and longrope");
    CHECK_EQ(gguf_text_problem("general.name", "x"), "");
}
