#include "check.h"
#include "core/adapter_turns.h"

#include <map>

using namespace inllama;

namespace {

const AdapterSet kFirst("1=1;");
const AdapterSet kSecond("2=1;");
const std::vector<const AdapterSet*> kAll = {nullptr, &kFirst, &kSecond};

// Takes steps, of which each costs 10 ms and a change of sets `switch_ms` more; counts those of each set.
std::map<const AdapterSet*, int> take(AdapterTurns& turns, int n, double switch_ms) {
    std::map<const AdapterSet*, int> steps;
    const AdapterSet* last = &kFirst;
    for (int i = 0; i < n; i++) {
        const AdapterSet* set = turns.choose(kAll);
        turns.note((10 + (set == last ? 0 : switch_ms)) / 1000);
        last = set;
        steps[set]++;
    }
    return steps;
}

} // namespace

TEST("sets that cost nothing to change take turns step by step") {
    AdapterTurns turns;
    std::map<const AdapterSet*, int> steps = take(turns, 30, 0);
    for (const AdapterSet* set : kAll) {
        CHECK(steps[set] >= 8 && steps[set] <= 12);
    }
}

TEST("turns are as long as makes the changes a small part of the time") {
    AdapterTurns turns;
    for (int i = 0; i < 3; i++) { // a step that is not the first of its turn shows what changing costs
        turns.choose({nullptr});
        turns.note(0.01);
    }
    std::map<const AdapterSet*, int> steps = take(turns, 300, 20);
    CHECK_EQ(turns.n_steps(), 10);
    for (const AdapterSet* set : kAll) {
        CHECK(steps[set] >= 85 && steps[set] <= 115);
    }
    take(turns, 2000, 100000);
    CHECK_EQ(turns.n_steps(), 32);
}

TEST("what a change costs is learned although sets change from the first step on") {
    AdapterTurns turns;
    take(turns, 200, 20);
    CHECK_EQ(turns.n_steps(), 10);
}

TEST("a set that has nothing to compute is passed over, and comes back") {
    AdapterTurns turns;
    for (int i = 0; i < 2; i++) {
        CHECK(turns.choose({&kFirst}) == &kFirst);
        turns.note(0.01);
    }
    CHECK(turns.choose({&kFirst, &kSecond}) == &kSecond);
    CHECK(turns.choose({&kFirst}) == &kFirst);
    CHECK(turns.choose({&kFirst, nullptr}) == nullptr);
    CHECK(turns.choose({&kFirst, &kSecond}) == &kSecond);
    CHECK(turns.choose({&kFirst, &kSecond}) == &kFirst);
}
