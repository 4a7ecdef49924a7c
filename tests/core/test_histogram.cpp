#include "core/histogram.h"

#include "tests/core/check.h"

#include <cmath>
#include <limits>
#include <random>

using inllama::Histogram;

TEST("a new histogram counts nothing") {
    const Histogram<4> histogram(0.5);
    CHECK_EQ(histogram.n(), uint64_t{0});
    CHECK_EQ(histogram.sum(), 0.0);
    CHECK(histogram.counts() == (std::array<uint64_t, 4>{}));
}

TEST("bounds of buckets double from the first one on") {
    const Histogram<24> histogram(1e-4);
    CHECK_EQ(histogram.bound(0), 1e-4);
    CHECK_EQ(histogram.bound(1), 2e-4);
    CHECK_EQ(histogram.bound(10), 1e-4 * 1024);
    CHECK_EQ(Histogram<4>().bound(3), 8.0);
}

TEST("a value at a bound belongs to that bucket, the next larger one to the next bucket") {
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    for (size_t i = 0; i + 1 < 8; i++) {
        Histogram<8> histogram(0.1);
        histogram.add(histogram.bound(i));
        CHECK_EQ(histogram.counts()[i], uint64_t{1});
        histogram.add(std::nextafter(histogram.bound(i), kInfinity));
        CHECK_EQ(histogram.counts()[i + 1], uint64_t{1});
    }
}

TEST("zero and what is below it are in the first bucket") {
    Histogram<3> histogram;
    histogram.add(0);
    histogram.add(-5);
    CHECK_EQ(histogram.counts()[0], uint64_t{2});
    CHECK_EQ(histogram.sum(), -5.0);
}

TEST("the last bucket takes all that is larger") {
    Histogram<3> histogram;
    for (const double value : {2.5, 4.0, 4.5, 1e30}) {
        histogram.add(value);
    }
    CHECK(histogram.counts() == (std::array<uint64_t, 3>{0, 0, 4}));
    Histogram<1> one;
    one.add(1e30);
    CHECK_EQ(one.counts()[0], uint64_t{1});
}

TEST("every value is counted once, between the bounds of its bucket") {
    std::mt19937 random(20261003);
    Histogram<12> histogram(1e-3);
    std::array<uint64_t, 12> expected{};
    double sum = 0;
    for (uint64_t n = 1; n <= 5000; n++) {
        const double value = 1e-4 * std::exp2(static_cast<double>(random() % 2000) / 100.0);
        size_t bucket = 0;
        while (bucket + 1 < expected.size() && value > 1e-3 * std::exp2(static_cast<double>(bucket))) {
            bucket++;
        }
        expected[bucket]++;
        sum += value;
        histogram.add(value);
        CHECK_EQ(histogram.n(), n);
    }
    CHECK(histogram.counts() == expected);
    CHECK_EQ(histogram.sum(), sum);
    for (const uint64_t count : expected) {
        CHECK(count > 0);
    }
}
