  // Added to xgrammar's TokenizerInfo::Impl: sets of tokens, 32 in a word, for char_budget_boundary.cc.

  /*! \brief The tokens of more than n_chars characters, or of more than kMaxLength; all of them for -1. */
  const std::vector<uint32_t>& TokensLongerThan(int32_t n_chars) const {
    return tokens_longer_than_[std::min(n_chars, kMaxLength) + 1];
  }
  /*! \brief Whether TokensLongerThan is about this number of characters, and not about a smaller one. */
  static bool IsExactLength(int32_t n_chars) { return n_chars <= kMaxLength; }
  /*! \brief The tokens with a byte; empty for letters, digits and what is not ASCII, of which none are kept. */
  const std::vector<uint32_t>& TokensWithByte(int32_t byte) const { return tokens_with_byte_[byte]; }

  void BuildTokenSets() {
    const std::vector<uint32_t> none((vocab_size_ + 31) / 32, 0);
    tokens_longer_than_.assign(kMaxLength + 2, none);
    tokens_with_byte_.assign(256, {});
    for (int32_t byte = 0; byte < 0x80; ++byte) {
      if (!std::isalnum(byte)) {
        tokens_with_byte_[byte] = none;
      }
    }
    for (size_t index = 0; index < sorted_decoded_vocab_.size(); ++index) {
      const auto& [token_id, token] = sorted_decoded_vocab_[index];
      const uint32_t bit = uint32_t{1} << (token_id % 32);
      for (int32_t n_chars = -1; n_chars < std::min(token_char_counts_[index], kMaxLength + 1); ++n_chars) {
        tokens_longer_than_[n_chars + 1][token_id / 32] |= bit;
      }
      for (uint8_t byte : token) {
        if (!tokens_with_byte_[byte].empty()) {
          tokens_with_byte_[byte][token_id / 32] |= bit;
        }
      }
    }
  }

  static constexpr int32_t kMaxLength = 15;
  std::vector<std::vector<uint32_t>> tokens_longer_than_;
  std::vector<std::vector<uint32_t>> tokens_with_byte_;

