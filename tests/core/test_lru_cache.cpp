#include "core/lru_cache.h"
#include "tests/core/check.h"

#include <thread>
#include <vector>

using Cache = inllama::LruCache<int>;

TEST("a cached value is found until others take its room") {
    Cache cache(10);
    cache.insert("a", 1, 4);
    cache.insert("b", 2, 4);
    CHECK_EQ(cache.find("a").value_or(0), 1);
    cache.insert("c", 3, 4); // "b" was used least recently
    CHECK(!cache.find("b"));
    CHECK_EQ(cache.find("a").value_or(0), 1);
    CHECK_EQ(cache.find("c").value_or(0), 3);
}

TEST("a value that is too large is not kept") {
    Cache cache(10);
    cache.insert("a", 1, 4);
    cache.insert("b", 2, 11);
    CHECK(!cache.find("b"));
    CHECK_EQ(cache.size(), size_t{1});
}

TEST("an insertion replaces what was there") {
    Cache cache(10);
    cache.insert("a", 1, 9);
    cache.insert("a", 2, 9);
    CHECK_EQ(cache.find("a").value_or(0), 2);
    CHECK_EQ(cache.size(), size_t{1});
}

TEST("a cache serves many threads") {
    Cache cache(100);
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; t++) {
        threads.emplace_back([&cache, t] {
            for (int i = 0; i < 2000; i++) {
                cache.insert(std::to_string((i * 7 + t) % 50), i, 5);
                cache.find(std::to_string(i % 50));
            }
        });
    }
    for (std::thread& thread : threads)
        thread.join();
    CHECK(cache.size() <= 20);
}
