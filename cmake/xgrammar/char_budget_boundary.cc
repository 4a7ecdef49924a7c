// Takes the place of the function of this name in xgrammar's cpp/grammar_matcher.cc, which tries each token that is
// longer than what is left of a rule's characters, byte by byte, and searches lists for all others.
void GrammarMatcher::Impl::FillBitmaskForCharBudgetBoundary(
    const ParserState& state, const AdaptiveTokenMask& adaptive_token_mask, int32_t remaining_chars
) {
  const auto& info = *tokenizer_info_.ImplPtr();
  const auto& token_char_counts = info.GetTokenCharCounts();
  const auto& index_of = info.GetTokenIdToSortedVocabIndex();
  const auto& vocab = tokenizer_info_.GetSortedDecodedVocab();

  // The tokens that the rule's automaton accepts as a whole, however many characters they have.
  std::vector<uint32_t> accepted(info.TokensLongerThan(-1).size(), 0);
  const auto flip = [&](int32_t index) {
    const int32_t token_id = vocab[index].first;
    accepted[token_id / 32] ^= uint32_t{1} << (token_id % 32);
  };
  switch (adaptive_token_mask.store_type) {
    case StoreType::kAccepted:
      std::for_each(
          adaptive_token_mask.accepted_indices.begin(),
          adaptive_token_mask.accepted_indices.end(),
          flip
      );
      break;
    case StoreType::kAcceptedBitset: {
      DynamicBitset view(tokenizer_info_.GetVocabSize(), accepted.data());
      view = adaptive_token_mask.accepted_bitset;
      break;
    }
    case StoreType::kRejected:
      accepted = info.TokensLongerThan(-1);
      std::for_each(
          adaptive_token_mask.rejected_indices.begin(),
          adaptive_token_mask.rejected_indices.end(),
          flip
      );
      std::for_each(
          adaptive_token_mask.uncertain_indices.begin(),
          adaptive_token_mask.uncertain_indices.end(),
          flip
      );
      break;
  }

  // A token that is too long is possible only if the rule ends within it, or cannot end where its characters do. If the
  // rule can end wherever a character does, the token has a byte that may follow the rule, or one behind which the rule
  // cannot end: in JSON strings a quote or a backslash.
  constexpr size_t kMaxStates = 64, kMaxBytes = 8;
  std::bitset<256> bytes;
  const auto add_range = [&](const FSMEdge& edge) {
    for (int32_t byte = edge.min; byte <= edge.max; ++byte) {
      bytes.set(byte);
    }
  };
  const auto find_bytes = [&] {
    const auto& fsm = grammar_->per_rule_fsms[state.rule_id]->GetFsm();
    const auto is_within_char = [&](int32_t id) {
      bool has_edges = false;
      for (const auto& edge : fsm.GetFsm().GetEdges(id)) {
        has_edges = true;
        if (!edge.IsCharRange() || edge.min < 0x80 || edge.max > 0xBF) {
          return false;
        }
      }
      return has_edges;
    };
    std::vector<int32_t> reached = {state.element_id};
    // Where the rule begins, what follows it may be the rule once more, and then in the same state.
    const int32_t row = static_cast<int32_t>(scanable_state_history_.size()) - 1;
    if (!fsm.IsEndState(state.element_id) || grammar_->GetRule(state.rule_id).max_chars < 0 ||
        state.rule_start_pos == row || state.rule_start_pos == ParserState::kNoPrevInputPos) {
      return false;
    }
    for (size_t i = 0; i < reached.size(); ++i) {
      for (const auto& edge : fsm.GetFsm().GetEdges(reached[i])) {
        if (!edge.IsCharRange()) {
          return false;
        }
        if (!fsm.IsEndState(edge.target) && !is_within_char(edge.target)) {
          add_range(edge);
        } else if (std::find(reached.begin(), reached.end(), edge.target) == reached.end()) {
          reached.push_back(edge.target);
        }
      }
      if (reached.size() > kMaxStates) {
        return false;
      }
    }
    // What may follow the rule is what the other states of this position accept: the rule can end here.
    for (const auto& other : scanable_state_history_[scanable_state_history_.size() - 1]) {
      if (other.rule_id == state.rule_id && other.rule_start_pos == state.rule_start_pos) {
        continue;
      }
      if (other.char_budget_deadline >= 0 &&
          other.char_budget_deadline <= state.char_budget_deadline) {
        return false;  // it is limited too, and may end no later
      }
      for (const auto& edge :
           grammar_->per_rule_fsms[other.rule_id]->GetFsm().GetFsm().GetEdges(other.element_id)) {
        if (edge.IsToken() || edge.IsExcludeToken()) {
          return false;
        }
        if (edge.IsCharRange()) {
          add_range(edge);
        }
      }
    }
    return true;
  };
  std::vector<const std::vector<uint32_t>*> sets;
  bool has_bytes = find_bytes() && bytes.count() <= kMaxBytes;
  for (int32_t byte = 0; has_bytes && byte < 256; ++byte) {
    if (bytes[byte]) {
      sets.push_back(&info.TokensWithByte(byte));
      has_bytes = !sets.back()->empty();
    }
  }

  std::vector<int32_t> tokens_to_check = adaptive_token_mask.uncertain_indices;
  const auto& longer = info.TokensLongerThan(remaining_chars);
  const bool is_exact = info.IsExactLength(remaining_chars);
  for (size_t word = 0; word < accepted.size(); ++word) {
    uint32_t left = accepted[word] & longer[word];
    accepted[word] ^= left;
    uint32_t doubtful = has_bytes ? 0 : ~uint32_t{0};
    if (has_bytes && left != 0) {
      for (const auto* set : sets) {
        doubtful |= (*set)[word];
      }
    }
    if (is_exact) {
      left &= doubtful;
    }
    for (uint32_t bit = 0; bit < 32 && left >> bit != 0; ++bit) {
      if ((left >> bit & 1) == 0) {
        continue;
      }
      const int32_t index = index_of[word * 32 + bit];
      if (token_char_counts[index] <= remaining_chars) {
        accepted[word] |= uint32_t{1} << bit;
      } else if ((doubtful >> bit & 1) != 0) {
        tokens_to_check.push_back(index);
      }
    }
  }
  tmp_accepted_bitset_ |= DynamicBitset(tokenizer_info_.GetVocabSize(), accepted.data());
  std::sort(tokens_to_check.begin(), tokens_to_check.end());

  int32_t saved_temporary_input_start_row = temporary_input_start_row_;
  std::string saved_temporary_input_bytes = std::move(temporary_input_bytes_);
  std::vector<ParserState> all_latest_states = GetLatestScanableStates();
  bool all_latest_completed = IsCompleted();

  PushStatesToCheck(all_latest_states, all_latest_completed);
  int32_t initial_state_history_size = scanable_state_history_.size();
  temporary_input_start_row_ = initial_state_history_size - 1;
  temporary_input_bytes_.clear();
  const std::string* previous = nullptr;
  int32_t matched_size = 0;  // of the previous token
  std::vector<int32_t> byte_rejected_tokens;

  for (int32_t index : tokens_to_check) {
    if (tmp_accepted_bitset_[vocab[index].first]) {
      continue;
    }
    const std::string& token = vocab[index].second;
    bool accepted_bytes = !token.empty();
    int32_t common_prefix_length = 0;
    if (previous != nullptr) {
      common_prefix_length = static_cast<int32_t>(
          std::mismatch(previous->begin(), previous->end(), token.begin(), token.end()).first -
          previous->begin()
      );
    }
    if (common_prefix_length > matched_size) {
      accepted_bytes = false;  // it has the byte at which the previous one was rejected
    } else {
      PopLastStates(matched_size - common_prefix_length);
      temporary_input_bytes_.resize(common_prefix_length);
      matched_size = common_prefix_length;
      for (; matched_size < static_cast<int32_t>(token.size()); ++matched_size) {
        if (!AdvanceWithCharacterBudget(static_cast<uint8_t>(token[matched_size]))) {
          accepted_bytes = false;
          break;
        }
        temporary_input_bytes_.push_back(token[matched_size]);
      }
      previous = &token;
    }
    if (accepted_bytes) {
      tmp_accepted_bitset_.Set(vocab[index].first, true);
    } else {
      byte_rejected_tokens.push_back(index);
    }
  }
  PopLastStates(scanable_state_history_.size() - initial_state_history_size + 1);

  if (has_token_edges_) {
    for (int32_t index : byte_rejected_tokens) {
      PushStatesToCheck(all_latest_states, all_latest_completed);
      temporary_input_start_row_ = scanable_state_history_.size() - 1;
      temporary_input_bytes_.clear();
      if (AdvanceAtomicTokenWithCharacterBudget(vocab[index].first, token_char_counts[index])) {
        tmp_accepted_bitset_.Set(vocab[index].first, true);
        PopLastStates(1);
      }
      PopLastStates(1);
    }
  }

  temporary_input_start_row_ = saved_temporary_input_start_row;
  temporary_input_bytes_ = std::move(saved_temporary_input_bytes);
}

