#include "core/llama/kv_state.h"

// The size of a cell's place is in no public function.
#include <llama-kv-cells.h>

#include <cstring>
#include <vector>

namespace inllama {

namespace {

constexpr uint32_t kMagic = 0xaf143cd8; // llama-context.cpp: io_magic
constexpr uint32_t kMostLayers = 4096;
constexpr uint64_t kMostRowBytes = uint64_t{1} << 26;

class Reader {
  public:
    Reader(const uint8_t* bytes, size_t size) : bytes_(bytes), left_(size) {}

    template<class T> bool read(T& value) {
        if (left_ < sizeof(T)) {
            return false;
        }
        std::memcpy(&value, bytes_, sizeof(T));
        return skip(sizeof(T));
    }
    bool skip(uint64_t n) {
        if (n > left_) {
            return false;
        }
        bytes_ += n;
        left_ -= n;
        return true;
    }
    bool is_at_end() const { return left_ == 0; }

  private:
    const uint8_t* bytes_;
    uint64_t left_;
};

bool read_cells(Reader& reader, uint32_t n_cells, uint32_t n_positions, bool has_places) {
    std::vector<bool> is_there(n_positions);
    for (uint32_t i = 0; i < n_cells; i++) {
        int32_t position = -1;
        uint32_t n_sequences = 0;
        int32_t sequence = -1;
        if (!reader.read(position) || !reader.read(n_sequences) || n_sequences != 1 || position < 0 ||
            static_cast<uint32_t>(position) >= n_positions || is_there[static_cast<size_t>(position)] ||
            (has_places && !reader.skip(sizeof(llama_kv_cell_ext))) || !reader.read(sequence)) {
            return false;
        }
        is_there[static_cast<size_t>(position)] = true;
    }
    return true;
}

bool read_rows(Reader& reader, uint32_t n_layers, uint32_t n_cells, bool is_last) {
    for (uint32_t layer = 0; layer < n_layers; layer++) {
        if (is_last && reader.is_at_end()) {
            return true; // caches of latent attention have keys only
        }
        int32_t type = 0;
        uint64_t row = 0;
        if (!reader.read(type) || !reader.read(row) || row > kMostRowBytes || !reader.skip(row * n_cells)) {
            return false;
        }
    }
    return true;
}

bool read_columns(Reader& reader, uint32_t n_layers, uint32_t n_cells) {
    for (uint32_t layer = 0; layer < n_layers; layer++) {
        int32_t type = 0;
        uint32_t element = 0;
        uint32_t width = 0;
        if (!reader.read(type) || !reader.read(element) || !reader.read(width) ||
            uint64_t{element} * width > kMostRowBytes || !reader.skip(uint64_t{element} * width * n_cells)) {
            return false;
        }
    }
    return true;
}

bool read_cache(Reader& reader, uint32_t n_positions, bool is_first, bool is_last, bool has_places) {
    uint32_t n_streams = 0;
    uint32_t n_cells = 0;
    if (!reader.read(n_streams) || n_streams != 1 || !reader.read(n_cells) || n_cells > n_positions ||
        (is_first && n_cells != n_positions)) {
        return false;
    }
    if (n_cells == 0) {
        return true;
    }
    uint32_t is_transposed = 0;
    uint32_t n_layers = 0;
    if (!read_cells(reader, n_cells, n_positions, has_places) || !reader.read(is_transposed) ||
        !reader.read(n_layers) || is_transposed > 1 || n_layers > kMostLayers ||
        !read_rows(reader, n_layers, n_cells, false)) {
        return false;
    }
    return is_transposed == 1 ? read_columns(reader, n_layers, n_cells)
                              : read_rows(reader, n_layers, n_cells, is_last);
}

} // namespace

bool is_kv_state(const uint8_t* bytes, size_t size, uint32_t n_positions, int n_caches, bool has_places) {
    Reader reader(bytes, size);
    uint32_t magic = 0;
    int32_t sequence = 0;
    if (!reader.read(magic) || magic != kMagic || !reader.read(sequence)) {
        return false;
    }
    for (int cache = 0; cache < n_caches; cache++) {
        if (!read_cache(reader, n_positions, cache == 0, cache == n_caches - 1, has_places)) {
            return false;
        }
    }
    return reader.is_at_end();
}

} // namespace inllama
