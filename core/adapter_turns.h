// Which adapters a step computes with: a step has rows of one set only.
#pragma once

#include "core/adapter_set.h"

#include <cstdint>
#include <map>
#include <vector>

namespace inllama {

// Sets of adapters take turns, so that every output gets as many steps as the others, whichever set it has.
//
// The first step with another set takes longer, since backends prepare for it. A turn is as many steps as
// make that a small part of it. Threads: one at a time, the engine's.
class AdapterTurns {
  public:
    // The set of the next step, of those that have something to compute. REQUIRES: there is one; null is the
    // set without adapters.
    const AdapterSet* choose(const std::vector<const AdapterSet*>& sets);
    // The step, of outputs alone, took so long.
    void note(double seconds);
    // How many steps a turn has.
    int n_steps() const;

  private:
    std::map<const AdapterSet*, uint64_t> last_; // turn of each set, of those that were there last
    const AdapterSet* current_ = nullptr;
    uint64_t n_turns_ = 0;
    int n_taken_ = 0; // steps of the present turn
    // In seconds; 0: not measured.
    double step_s_ = 0;   // a step that is not the first of its turn
    double switch_s_ = 0; // what the first one takes more
};

} // namespace inllama
