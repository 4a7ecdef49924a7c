// Names of the values that an option can have, and the error for any other.
#pragma once

#include "core/error.h"

#include <string>
#include <utility>
#include <vector>

namespace inllama {

template<class T> using Choices = std::vector<std::pair<const char*, T>>;

// The value called `name`; throws InvalidRequestError that lists the names.
template<class T> T choose(const Choices<T>& choices, const char* option, const std::string& name) {
    std::string names;
    for (const auto& [known, value] : choices) {
        if (name == known) {
            return value;
        }
        names += (names.empty() ? "" : ", ") + std::string(known);
    }
    throw Error(ErrorKind::InvalidRequestError,
                std::string(option) + " is '" + name + "'; use one of " + names)
        .with("option", std::string(option))
        .with("value", name);
}

// The name of `value`; the first one where several names mean the same.
template<class T> std::string name_of(const Choices<T>& choices, T value) {
    for (const auto& [name, known] : choices) {
        if (known == value) {
            return name;
        }
    }
    return "unknown";
}

} // namespace inllama
