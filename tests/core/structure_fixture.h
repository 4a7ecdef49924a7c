// A structure without a grammar: an output is one of some texts, token by token a byte.
#pragma once

#include "core/error.h"
#include "core/fake_decoder.h"
#include "core/mask_source.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace inllama {

struct TextsStructure : Structure, std::enable_shared_from_this<TextsStructure> {
    explicit TextsStructure(std::vector<std::string> of, bool can_fail = false)
        : texts(std::move(of)), fails(can_fail) {}

    std::unique_ptr<MaskSource> start() const override;
    int n_tokens() const override { return vocab.size(); }
    size_t n_bytes() const override { return 0; }

    FakeVocab vocab;
    std::vector<std::string> texts; // none: everything is allowed
    bool fails;                     // filling a mask throws
    mutable std::atomic<int> n_fills{0};
    mutable std::atomic<int> n_accepts{0};
};

struct TextsMaskSource : MaskSource {
    explicit TextsMaskSource(std::shared_ptr<const TextsStructure> of) : structure(std::move(of)) {}

    bool fill(uint32_t* mask) override {
        structure->n_fills++;
        if (structure->fails) {
            throw Error(ErrorKind::GrammarError, "no mask");
        }
        std::fill_n(mask, mask_words(structure->n_tokens()), 0u);
        for (const std::string& text : structure->texts) {
            if (text.compare(0, said.size(), said) == 0 && text.size() > said.size()) {
                const auto next = static_cast<unsigned char>(text[said.size()]);
                mask[next / 32] |= 1u << next % 32;
            }
        }
        if (can_end()) {
            const int end = structure->n_tokens() - 1;
            mask[end / 32] |= 1u << end % 32;
        }
        return !structure->texts.empty();
    }

    bool accept(Token token) override {
        if (structure->vocab.ends(token)) {
            is_over = can_end() || structure->texts.empty();
            return is_over;
        }
        std::string bytes;
        structure->vocab.append_bytes(token, bytes);
        return accept_bytes(bytes);
    }

    bool accept_bytes(std::string_view bytes) override {
        structure->n_accepts++;
        const std::string longer = said + std::string(bytes);
        const auto begins = [&](const std::string& text) {
            return text.compare(0, longer.size(), longer) == 0;
        };
        if (!structure->texts.empty() &&
            std::none_of(structure->texts.begin(), structure->texts.end(), begins)) {
            return false;
        }
        steps.push_back(said);
        said = longer;
        return true;
    }

    void rollback(int n) override {
        said = steps[steps.size() - static_cast<size_t>(n)];
        steps.resize(steps.size() - static_cast<size_t>(n));
    }

    bool can_end() const override {
        return std::find(structure->texts.begin(), structure->texts.end(), said) != structure->texts.end();
    }
    bool is_done() const override { return is_over; }

    std::shared_ptr<const TextsStructure> structure;
    std::string said;
    std::vector<std::string> steps;
    bool is_over = false;
};

inline std::unique_ptr<MaskSource> TextsStructure::start() const {
    return std::make_unique<TextsMaskSource>(shared_from_this());
}

} // namespace inllama
