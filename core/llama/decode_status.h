// What llama.cpp's return codes mean.
#pragma once

#include "core/decoder.h"

#include <cstdint>

namespace inllama {

inline DecodeStatus decode_status(int32_t code) {
    switch (code) {
    case 0:
        return DecodeStatus::ok;
    case 1:
        return DecodeStatus::no_room;
    case 2:
        return DecodeStatus::aborted;
    case -1:
        return DecodeStatus::invalid;
    case -2:
        return DecodeStatus::no_memory;
    default:
        return DecodeStatus::failed;
    }
}

} // namespace inllama
