#include "core/logits.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>

namespace inllama {

namespace {

constexpr float kNegativeInfinity = -std::numeric_limits<float>::infinity();
#ifdef __AVX__
constexpr size_t kLanes = 8;
#else
constexpr size_t kLanes = 4;
#endif
constexpr size_t kBlock = 256;

// Vectors of GCC and Clang, in whatever registers the target has.
using Floats = float __attribute__((vector_size(4 * kLanes)));
using Ints = int32_t __attribute__((vector_size(4 * kLanes)));

inline Floats load(const float* from) {
    Floats values;
    std::memcpy(&values, from, sizeof values);
    return values;
}

inline Floats all(float value) {
    return value - Floats{};
}

struct BlockLook {
    float largest;
    bool has_nan;
};

BlockLook look(const float* logits, size_t n) {
    Floats top[2] = {all(kNegativeInfinity), all(kNegativeInfinity)};
    Ints wrong[2] = {};
    size_t i = 0;
    for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
        for (size_t half = 0; half < 2; half++) {
            const Floats values = load(logits + i + half * kLanes);
            top[half] = values > top[half] ? values : top[half];
            wrong[half] |= values != values;
        }
    }
    BlockLook found{kNegativeInfinity, false};
    for (size_t lane = 0; lane < kLanes; lane++) {
        found.largest = std::max({found.largest, top[0][lane], top[1][lane]});
        found.has_nan = found.has_nan || (wrong[0][lane] | wrong[1][lane]) != 0;
    }
    for (; i < n; i++) {
        found.largest = logits[i] > found.largest ? logits[i] : found.largest;
        found.has_nan = found.has_nan || logits[i] != logits[i];
    }
    return found;
}

// Calls `block(begin, end)` for the logits without a bias, in blocks, and `one(index, logit)` for the others.
template<class Block, class One>
void for_each_block(const float* logits, size_t n, const RowBiases& biases, Block&& block, One&& one) {
    const auto blocks = [&](size_t begin, size_t end) {
        for (; begin < end; begin += std::min(kBlock, end - begin)) {
            block(begin, begin + std::min(kBlock, end - begin));
        }
    };
    size_t begin = 0;
    for (const auto& [token, bias] : biases) {
        const auto index = static_cast<size_t>(token);
        blocks(begin, index);
        one(index, logits[index] + bias);
        begin = index + 1;
    }
    blocks(begin, n);
}

bool is_likelier(const Candidate& a, const Candidate& b) {
    return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
}

// Keeps the likeliest `k` of what is pushed, and knows from which logit on another one could be of them.
class Likeliest {
  public:
    // None of them is below `floor`, as far as is known.
    Likeliest(size_t k, float floor, std::vector<Candidate>& kept)
        : k_(k), kept_(kept), threshold_(std::nextafter(floor, kNegativeInfinity)) {
        kept_.clear();
    }

    float threshold() const { return threshold_; }

    void push(size_t index, float logit) {
        if (logit > threshold_) {
            kept_.push_back({static_cast<Token>(index), logit});
            if (kept_.size() >= 2 * k_) {
                shrink();
            }
        }
    }

    void finish() {
        if (kept_.size() > k_) {
            shrink();
        }
        std::sort(kept_.begin(), kept_.end(), is_likelier);
    }

  private:
    void shrink() {
        const auto last = kept_.begin() + static_cast<std::ptrdiff_t>(k_ - 1);
        std::nth_element(kept_.begin(), last, kept_.end(), is_likelier);
        threshold_ = last->logit;
        kept_.resize(k_);
    }

    size_t k_;
    std::vector<Candidate>& kept_;
    float threshold_; // only what is larger counts
};

// e^x for x <= 0 with a relative error below 2e-7; 0 below -87. (Cephes' polynomial.)
inline Floats exp_of(const Floats& x) {
    const Floats bounded = x < -87.0f ? all(-87.0f) : x;
    constexpr float kRound = 12582912.0f; // 1.5 * 2^23: adding it rounds to an integer
    const Floats whole = (bounded * 1.44269504f + kRound) - kRound;
    const Floats part = (bounded - whole * 0.693359375f) + whole * 2.12194440e-4f;
    Floats sum = all(1.9875691500e-4f);
    sum = sum * part + 1.3981999507e-3f;
    sum = sum * part + 8.3334519073e-3f;
    sum = sum * part + 4.1665795894e-2f;
    sum = sum * part + 1.6666665459e-1f;
    sum = sum * part + 5.0000001201e-1f;
    sum = sum * part * part + part + 1.0f;
    const Ints exponent = (__builtin_convertvector(whole, Ints) + 127) << 23;
    Floats power;
    std::memcpy(&power, &exponent, sizeof power);
    return x < -87.0f ? Floats{} : sum * power;
}

// Calls `vector(values)` for `n` logits, the last ones filled up with minus infinity.
template<class Vector> void for_each_vector(const float* logits, size_t n, Vector&& vector) {
    size_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
        vector(load(logits + i));
    }
    if (i < n) {
        Floats rest = all(kNegativeInfinity);
        std::memcpy(&rest, logits + i, (n - i) * sizeof(float));
        vector(rest);
    }
}

// Probability by distance from the largest logit. What is further away than all buckets is in the last one.
class Mass {
  public:
    explicit Mass(float largest) : largest_(largest) {}

    static constexpr size_t kBuckets = 512;
    static constexpr float kPerUnit = 16.0f;

    size_t bucket(float logit) const {
        const float distance = (largest_ - logit) * kPerUnit;
        return distance < static_cast<float>(kBuckets - 1) ? static_cast<size_t>(distance) : kBuckets - 1;
    }

    void add(const float* logits, size_t n) {
        for_each_vector(logits, n, [&](const Floats& values) {
            const Floats weights = exp_of(values - largest_);
            const Floats distance = (largest_ - values) * kPerUnit;
            constexpr float kLast = static_cast<float>(kBuckets - 1);
            const Ints places = __builtin_convertvector(distance < kLast ? distance : all(kLast), Ints);
            // Neighbours often share a bucket; several tables let their additions overlap.
            for (size_t lane = 0; lane < kLanes; lane++) {
                sums_[lane % kTables][static_cast<size_t>(places[lane])] +=
                    static_cast<double>(weights[lane]);
            }
        });
    }

    float weight_of(float logit) const { return exp_of(all(logit - largest_))[0]; }

    double total() const {
        double sum = 0;
        for (size_t i = 0; i < kBuckets; i++) {
            sum += of(i);
        }
        return sum;
    }

    double of(size_t bucket) const {
        double sum = 0;
        for (const auto& table : sums_) {
            sum += table[bucket];
        }
        return sum;
    }

    // No logit in `bucket` is smaller; a bucket too low, for what rounding does.
    float floor_of(size_t bucket) const {
        return bucket + 1 < kBuckets ? largest_ - static_cast<float>(bucket + 2) / kPerUnit
                                     : kNegativeInfinity;
    }

  private:
    static constexpr size_t kTables = 4;

    float largest_;
    std::array<std::array<double, kBuckets>, kTables> sums_{};
};

} // namespace

Argmax argmax(const float* logits, size_t n, const RowBiases& biases) {
    Argmax best{kNegativeInfinity, 0, false};
    for_each_block(
        logits, n, biases,
        [&](size_t begin, size_t end) {
            const BlockLook found = look(logits + begin, end - begin);
            best.has_nan = best.has_nan || found.has_nan;
            if (found.largest > best.value) {
                best.value = found.largest;
                best.index =
                    static_cast<size_t>(std::find(logits + begin, logits + end, found.largest) - logits);
            }
        },
        [&](size_t index, float logit) {
            best.has_nan = best.has_nan || logit != logit;
            if (logit > best.value) {
                best.value = logit;
                best.index = index;
            }
        });
    return best;
}

bool top_k(const float* logits, size_t n, size_t k, const RowBiases& biases, std::vector<Candidate>& kept) {
    // The k-th largest of the blocks' largest: k logits at least reach it.
    bool has_nan = false;
    std::vector<float> tops;
    for_each_block(
        logits, n, biases,
        [&](size_t begin, size_t end) {
            const BlockLook found = look(logits + begin, end - begin);
            has_nan = has_nan || found.has_nan;
            tops.push_back(found.largest);
        },
        [&](size_t, float logit) { has_nan = has_nan || logit != logit; });
    if (has_nan) {
        return false;
    }
    float floor = kNegativeInfinity;
    if (tops.size() >= k) {
        std::vector<float> order = tops;
        const auto last = order.begin() + static_cast<std::ptrdiff_t>(k - 1);
        std::nth_element(order.begin(), last, order.end(), std::greater<float>());
        floor = *last;
    }
    Likeliest likeliest(k, floor, kept);
    size_t i_block = 0;
    for_each_block(
        logits, n, biases,
        [&](size_t begin, size_t end) {
            if (tops[i_block++] > likeliest.threshold()) {
                for (size_t i = begin; i < end; i++) {
                    likeliest.push(i, logits[i]);
                }
            }
        },
        [&](size_t index, float logit) { likeliest.push(index, logit); });
    likeliest.finish();
    return true;
}

namespace {

// Those that are not below `floor`, in the order of tokens.
void at_least(const float* logits, size_t n, float floor, const RowBiases& biases,
              std::vector<Candidate>& kept) {
    kept.resize(n);
    size_t n_kept = 0;
    const auto push = [&](size_t index, float logit) {
        kept[n_kept] = {static_cast<Token>(index), logit};
        n_kept += logit >= floor && logit > kNegativeInfinity ? 1 : 0; // no branch to guess wrong
    };
    for_each_block(
        logits, n, biases,
        [&](size_t begin, size_t end) {
            if (look(logits + begin, end - begin).largest >= floor) {
                for (size_t i = begin; i < end; i++) {
                    push(i, logits[i]);
                }
            }
        },
        push);
    kept.resize(n_kept);
}

} // namespace

void top_p(const float* logits, size_t n, double p, double min_p, const RowBiases& biases,
           const Argmax& largest, std::vector<Candidate>& kept) {
    Mass mass(largest.value);
    for_each_block(
        logits, n, biases, [&](size_t begin, size_t end) { mass.add(logits + begin, end - begin); },
        [&](size_t, float logit) { mass.add(&logit, 1); });
    const double wanted = p * mass.total();
    size_t last = 0;
    double sum = 0; // of the buckets that are kept whole
    while (last + 1 < Mass::kBuckets && sum + mass.of(last) < wanted) {
        sum += mass.of(last++);
    }
    const float min_floor =
        min_p > 0 ? largest.value + static_cast<float>(std::log(min_p)) : kNegativeInfinity;
    at_least(logits, n, std::max(mass.floor_of(last), min_floor), biases, kept);
    const auto edge = std::partition(kept.begin(), kept.end(), [&](const Candidate& candidate) {
        return mass.bucket(candidate.logit) < last;
    });
    std::sort(edge, kept.end(), is_likelier);
    auto end = edge;
    while (end != kept.end() && mass.bucket(end->logit) == last && (sum < wanted || end == kept.begin())) {
        sum += static_cast<double>(mass.weight_of(end->logit));
        ++end;
    }
    kept.erase(end, kept.end());
}

double log_sum_exp(const float* logits, size_t n, float largest) {
    double total = 0;
    for_each_block(
        logits, n, {},
        [&](size_t begin, size_t end) {
            Floats sums{};
            for_each_vector(logits + begin, end - begin,
                            [&](const Floats& values) { sums += exp_of(values - largest); });
            for (size_t lane = 0; lane < kLanes; lane++) {
                total += static_cast<double>(sums[lane]);
            }
        },
        [](size_t, float) {});
    return static_cast<double>(largest) + std::log(total);
}

} // namespace inllama
