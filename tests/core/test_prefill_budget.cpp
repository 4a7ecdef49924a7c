#include "core/prefill_budget.h"
#include "tests/core/check.h"

#include <algorithm>

using namespace inllama;

namespace {

// A machine: what a step of so many rows of each kind takes.
struct Machine {
    double decode_s = 0.08;
    double beside_s = 0.01;
    double alone_s = 0.005;

    double seconds(int n_decode, int n_prefill) const {
        if (n_decode == 0) {
            return n_prefill * alone_s;
        }
        return decode_s + n_prefill * beside_s;
    }
};

// Computes steps by the budget; returns the longest gap between two tokens after the first ten of them.
double longest_gap(PrefillBudget& budget, const Machine& machine, int n_decode, int n_prompts,
                   int n_steps = 64) {
    double longest = 0;
    for (int i = 0; i < n_steps; i++) {
        const PrefillShare share = budget.share(n_decode, n_prompts);
        double gap = 0;
        if (share.n_rows == 0) {
            gap = machine.seconds(n_decode, 0);
            budget.note(n_decode, 0, false, gap);
        } else if (share.is_alone) {
            gap = machine.seconds(0, share.n_rows) + machine.seconds(n_decode, 0);
            budget.note(0, share.n_rows, false, machine.seconds(0, share.n_rows));
            budget.note(n_decode, 0, false, machine.seconds(n_decode, 0));
        } else {
            gap = machine.seconds(n_decode, share.n_rows);
            budget.note(n_decode, share.n_rows, false, gap);
        }
        longest = i < 10 ? 0 : std::max(longest, gap);
    }
    return longest;
}

PrefillBudget measured(const Machine& machine, int n_decode) {
    PrefillBudget budget(512);
    budget.note(0, 512, false, machine.seconds(0, 512));
    for (int i = 0; i < 20; i++) {
        budget.note(n_decode, 0, true, machine.seconds(n_decode, 0));
    }
    return budget;
}

} // namespace

TEST("nothing measured: a moderate number of rows beside the outputs, more if more prompts profit") {
    const PrefillBudget budget(512);
    CHECK_EQ(budget.share(8, 1).n_rows, 16);
    CHECK(!budget.share(8, 1).is_alone);
    CHECK_EQ(budget.share(1, 1).n_rows, 16);
    CHECK_EQ(budget.share(1, 2).n_rows, 192); // 8 * (2 * 2 - 1) / 2 times as many
    CHECK_EQ(budget.share(8, 4).n_rows, 120); // 8 * (4 * 4 - 1) / 2 for each of 8 outputs
    CHECK_EQ(budget.share(16, 2).n_rows, 16);
    CHECK_EQ(PrefillBudget(5).share(8, 1).n_rows, 5);
}

TEST("one prompt makes many outputs wait less than four times as long as without it") {
    for (const double beside_s : {0.0001, 0.002, 0.01, 0.03}) {
        for (const double alone_s : {0.0001, 0.002, 0.01}) {
            const Machine machine{0.08, beside_s, alone_s};
            PrefillBudget budget = measured(machine, 8);
            CHECK(longest_gap(budget, machine, 8, 1) < 4 * machine.decode_s);
        }
    }
}

TEST("rows that become dearer become fewer, and some are left") {
    Machine machine;
    PrefillBudget budget = measured(machine, 8);
    longest_gap(budget, machine, 8, 1);
    const int n_before = budget.share(8, 1).n_rows;
    machine.beside_s *= 4;
    machine.alone_s *= 4;
    longest_gap(budget, machine, 8, 1);
    CHECK(budget.share(8, 1).n_rows < n_before);
    machine.beside_s *= 1000;
    machine.alone_s *= 1000;
    longest_gap(budget, machine, 8, 1);
    CHECK_EQ(budget.share(8, 1).n_rows, 4);
}

TEST("prompts have large steps of their own where these are cheaper and short enough") {
    const Machine cheap_alone{0.08, 0.01, 0.001};
    PrefillBudget budget = measured(cheap_alone, 8);
    longest_gap(budget, cheap_alone, 8, 1);
    CHECK(budget.share(8, 1).is_alone);
    CHECK(budget.share(8, 1).n_rows >= 64);

    const Machine cheap_beside{0.08, 0.001, 0.002};
    PrefillBudget other = measured(cheap_beside, 8);
    longest_gap(other, cheap_beside, 8, 1);
    CHECK(!other.share(8, 1).is_alone);
}

TEST("a new prompt begins with the cheapest rows that were measured") {
    const Machine shallow{0.08, 0.01, 0.0012};
    PrefillBudget budget = measured(shallow, 8);
    longest_gap(budget, shallow, 8, 1);
    CHECK(budget.share(8, 1).is_alone);
    budget.note(0, 64, false, 64 * 0.02); // far inside a long prompt
    budget.note(0, 64, false, 64 * 0.02);
    CHECK(!budget.share(8, 1).is_alone);
    budget.note_prompt();
    CHECK(budget.share(8, 1).is_alone);
}

TEST("outputs that get slower by themselves do not make prompts pay for it") {
    Machine machine{0.08, 0.004, 0.01};
    PrefillBudget budget = measured(machine, 8);
    longest_gap(budget, machine, 8, 1, 200);
    const int n_before = budget.share(8, 1).n_rows;
    machine.decode_s = 0.12; // everybody's text is longer
    longest_gap(budget, machine, 8, 1, 200);
    CHECK(budget.share(8, 1).n_rows >= n_before);
}

TEST("the gap stays below four steps of the time before the prompt, also if all steps get slower meanwhile") {
    for (const double slower : {1.0, 1.5, 2.0, 2.5}) {
        const Machine calm{0.06, 0.004, 0.01};
        PrefillBudget budget = measured(calm, 8);
        const Machine full{calm.decode_s * slower, calm.beside_s, calm.alone_s};
        longest_gap(budget, full, 8, 1, 64);
        CHECK(longest_gap(budget, full, 8, 1, 64) < 4 * calm.decode_s);
    }
}

TEST("prompts that come without a break get their part, however slow steps have become") {
    const Machine calm{0.02, 0.001, 0.01};
    PrefillBudget budget = measured(calm, 8);
    const Machine full{0.2, calm.beside_s, calm.alone_s};
    longest_gap(budget, full, 8, 1, 400);
    CHECK(budget.share(8, 1).n_rows >= 40); // a quarter of a step
    longest_gap(budget, full, 8, 1, 100000);
    CHECK(budget.share(8, 1).n_rows >= 150); // a step: nobody remembers another time
}

TEST("thousands of prompts have all rows, and no number overflows") {
    const Machine fast{0.1, 0, 0};
    PrefillBudget budget = measured(fast, 1);
    PrefillBudget largest(1 << 16);
    for (PrefillBudget* one : {&budget, &largest}) {
        longest_gap(*one, fast, 1, 1);
        CHECK(one->share(1, 1 << 14).n_rows >= 1 << 16);
    }
}

TEST("steps that nobody notices are not cut") {
    const Machine tiny{1e-5, 1e-5, 1e-5};
    PrefillBudget budget = measured(tiny, 8);
    longest_gap(budget, tiny, 8, 1);
    CHECK(budget.share(8, 1).n_rows >= 400);
}
