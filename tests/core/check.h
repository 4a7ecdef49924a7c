// The C++ test harness. A file of tests registers itself; main.cpp runs all of them.
//
//     TEST("a cancelled request frees its blocks") { CHECK_EQ(pool.n_free(), 8); }
//
// A failed check is printed and counted, and the test goes on. An exception that leaves a test fails it.
#pragma once

#include "core/error.h"

#include <cstdio>
#include <exception>
#include <sstream>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace check {

struct Test {
    const char* name;
    void (*body)();
};

inline std::vector<Test>& tests() {
    static std::vector<Test> all;
    return all;
}

struct Registration {
    Registration(const char* name, void (*body)()) { tests().push_back({name, body}); }
};

// Failed checks of the running test. Checks belong on the main thread.
inline int n_failed = 0;
inline const char* running_test = "";

inline void fail(const char* file, int line, const std::string& what) {
    n_failed++;
    std::printf("%s:%d: [%s] %s\n", file, line, running_test, what.c_str());
}

template<class T, class = void> struct IsPrintable : std::false_type {};
template<class T>
struct IsPrintable<T, std::void_t<decltype(std::declval<std::ostream&>() << std::declval<const T&>())>>
    : std::true_type {};

template<class T> std::string shown(const T& value) {
    std::ostringstream out;
    if constexpr (IsPrintable<T>::value) {
        out << std::boolalpha << value;
    } else {
        out << "(not printable)";
    }
    return out.str();
}

template<class A, class B>
void equal(const A& a, const B& b, const char* expression, const char* file, int line) {
    if (!(a == b))
        fail(file, line, std::string(expression) + ": " + shown(a) + " != " + shown(b));
}

} // namespace check

#define CHECK_JOIN_(a, b) a##b
#define CHECK_JOIN(a, b) CHECK_JOIN_(a, b)
#define TEST(name) CHECK_TEST(name, CHECK_JOIN(body_, __LINE__), CHECK_JOIN(registration_, __LINE__))
#define CHECK_TEST(name, body, registration)                                                                 \
    static void body();                                                                                      \
    static const check::Registration registration(name, &body);                                              \
    static void body()

#define CHECK(...) ((__VA_ARGS__) ? void() : check::fail(__FILE__, __LINE__, #__VA_ARGS__))
#define CHECK_EQ(a, b) check::equal((a), (b), #a " == " #b, __FILE__, __LINE__)
#define CHECK_THROWS(expr, Type, condition, expected)                                                        \
    try {                                                                                                    \
        (void)(expr);                                                                                        \
        check::fail(__FILE__, __LINE__, #expr " did not throw " expected);                                   \
    } catch (const Type& thrown) {                                                                           \
        if (!(condition))                                                                                    \
            check::fail(__FILE__, __LINE__, std::string(#expr " threw: ") + thrown.what());                  \
    }
#define CHECK_THROWS_AS(expr, Type) CHECK_THROWS(expr, Type, true, #Type)
// The kind of the inllama::Error, and its whole text.
#define CHECK_ERROR(expr, error_kind, text)                                                                  \
    CHECK_THROWS(expr, inllama::Error, thrown.kind() == (error_kind) && thrown.message() == (text),          \
                 #error_kind)
