// How many prompt rows are computed between two tokens of the outputs that wait for it.
#pragma once

#include <vector>

namespace inllama {

struct PrefillShare {
    int n_rows;    // 0: the outputs have this step alone
    bool is_alone; // in a step without outputs, which have the next one
};

// Prompt rows make every output that grows wait. So the budget is a time: a multiple of what a step takes
// without them, larger where prompts wait for each other, as in a crowd, and bounded by what a step took
// before prompts came, since all steps get slower while a long one fills the memory. What a row costs is
// measured, since it depends on the model, the machine and how much its prompt has behind it: beside outputs,
// and in large steps of their own, for which backends may have faster kernels. Threads: one at a time, the
// engine's.
class PrefillBudget {
  public:
    // Never more than `n_rows_max` rows; in a crowd, times what its prompts outweigh the outputs.
    explicit PrefillBudget(int n_rows_max) : n_rows_max_(n_rows_max) {}

    // The share of `n_prompts` > 0 prompts beside `n_decode` > 0 outputs.
    PrefillShare share(int n_decode, int n_prompts) const;
    // A step with so many rows of each kind took so long. Calm: there was no prompt, also none that waited.
    void note(int n_decode, int n_prefill, bool is_calm, double seconds);
    // Another prompt starts, whose rows may be cheaper than the last ones of another.
    void note_prompt();

  private:
    int n_rows_max_;
    int n_mixed_ = 0; // steps with both, since the last one of outputs alone
    // In seconds; 0: not measured.
    std::vector<double> decode_s_; // a step with so many outputs and nothing else
    std::vector<double> calm_s_;   // the same, before prompts came
    double beside_s_ = 0;          // a row beside outputs
    double alone_s_ = 0;           // a row of a large step of its own
    double cheapest_alone_s_ = 0;
};

} // namespace inllama
