// Counts of measured values in buckets that double, for statistics.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace inllama {

// Bucket i counts values up to kFirst * 2^i; the last one takes all that are larger.
template<size_t N> class Histogram {
  public:
    explicit Histogram(double first = 1) : first_(first) {}

    void add(double value) {
        size_t i = 0;
        for (double bound = first_; value > bound && i + 1 < N; bound *= 2) {
            i++;
        }
        counts_[i]++;
        n_++;
        sum_ += value;
    }

    // The largest value of bucket `i`; the last bucket has none.
    double bound(size_t i) const { return first_ * static_cast<double>(uint64_t{1} << i); }
    const std::array<uint64_t, N>& counts() const { return counts_; }
    uint64_t n() const { return n_; }
    double sum() const { return sum_; }

  private:
    double first_;
    std::array<uint64_t, N> counts_{};
    uint64_t n_ = 0;
    double sum_ = 0;
};

} // namespace inllama
