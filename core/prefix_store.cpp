#include "core/prefix_store.h"

#include "core/checksum.h"
#include "core/error.h"
#include "core/platform/process.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <optional>
#include <sstream>
#include <system_error>

namespace inllama {

namespace {

namespace fs = std::filesystem;

constexpr const char* kSuffix = ".prefix";

std::string file_name(const SavedPrefix& prefix) {
    uint64_t hash = checksum(prefix.identity.data(), prefix.identity.size());
    hash = checksum(prefix.name_space.data(), prefix.name_space.size(), hash);
    hash = checksum(prefix.tokens.data(), prefix.tokens.size() * sizeof(Token), hash);
    std::ostringstream name;
    name << std::hex << std::setfill('0') << std::setw(16) << hash << kSuffix;
    return name.str();
}

std::string read_bytes(const fs::path& path, uint64_t n) {
    std::string bytes(n, '\0');
    std::ifstream file(path, std::ios::binary);
    file.read(bytes.data(), static_cast<std::streamsize>(n));
    bytes.resize(static_cast<size_t>(std::max<std::streamsize>(0, file.gcount())));
    return bytes;
}

// Beside its place first: nobody finds half a file.
void write_file(const fs::path& path, const SavedPrefix& prefix) {
    const std::vector<uint8_t> bytes = encode_prefix(prefix);
    fs::path draft = path;
    draft += "." + std::to_string(process_id()) + ".tmp";
    std::ofstream file(draft, std::ios::binary);
    file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    file.close();
    std::error_code ignored;
    if (file) {
        fs::rename(draft, path, ignored);
    }
    if (!file || ignored) {
        fs::remove(draft, ignored);
    }
}

size_t n_common(const std::vector<Token>& a, const std::vector<Token>& b, size_t limit) {
    const size_t n = std::min({a.size(), b.size(), limit});
    const auto end = a.begin() + static_cast<std::ptrdiff_t>(n);
    return static_cast<size_t>(std::mismatch(a.begin(), end, b.begin()).first - a.begin());
}

} // namespace

PrefixStore::PrefixStore(const PrefixStoreParams& params, std::string identity)
    : params_(params), identity_(std::move(identity)) {
    if (!params_.folder.empty()) {
        read_folder();
        thread_ = std::thread([this] { run(); });
    }
}

PrefixStore::~PrefixStore() {
    {
        const std::lock_guard lock(mutex_);
        is_closing_ = true;
    }
    changed_.notify_all();
    if (thread_.joinable()) {
        thread_.join();
    }
}

void PrefixStore::read_folder() {
    std::error_code problem;
    fs::create_directories(params_.folder, problem);
    std::vector<std::pair<fs::file_time_type, Entry>> found;
    for (fs::directory_iterator it(params_.folder, problem), end; !problem && it != end;
         it.increment(problem)) {
        if (it->path().extension() != kSuffix) {
            continue;
        }
        try {
            const uint64_t size = it->file_size();
            const uint64_t n_head = prefix_head_bytes(read_bytes(it->path(), kPrefixHeaderBytes));
            SavedPrefix head = decode_prefix_head(read_bytes(it->path(), std::min(n_head, size)), size);
            if (head.identity == identity_) {
                Entry entry{std::move(head.name_space), std::move(head.tokens), nullptr,
                            it->path().filename().string(), size};
                found.emplace_back(it->last_write_time(), std::move(entry));
            }
        } catch (const std::exception&) {
            continue; // not ours, or damaged
        }
    }
    if (problem) {
        throw Error(ErrorKind::StateError,
                    "the folder " + params_.folder + " cannot be used for prefixes: " + problem.message())
            .with("path", params_.folder);
    }
    std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
    for (auto& [time, entry] : found) {
        n_file_bytes_ += entry.n_bytes;
        entries_.push_back(std::move(entry));
    }
    shrink_files();
}

bool PrefixStore::wants(size_t n_tokens) const {
    return n_tokens >= static_cast<size_t>(params_.least_tokens) &&
           (params_.max_memory_bytes > 0 || params_.max_file_bytes > 0);
}

bool PrefixStore::covers(const std::string& name_space, const std::vector<Token>& tokens) const {
    return std::any_of(entries_.begin(), entries_.end(), [&](const Entry& entry) {
        return entry.name_space == name_space &&
               n_common(entry.tokens, tokens, tokens.size()) == tokens.size() &&
               (params_.can_trim || entry.tokens.size() == tokens.size());
    });
}

void PrefixStore::drop_covered(const SavedPrefix& prefix) {
    for (auto it = entries_.begin(); it != entries_.end();) {
        const auto entry = it++;
        const bool is_covered =
            entry->name_space == prefix.name_space &&
            n_common(entry->tokens, prefix.tokens, entry->tokens.size()) == entry->tokens.size() &&
            (params_.can_trim || entry->tokens.size() == prefix.tokens.size());
        if (is_covered) {
            erase(entry);
        }
    }
}

void PrefixStore::put(SavedPrefix prefix) {
    drop_covered(prefix);
    const uint64_t n_bytes =
        prefix.state.size() + prefix.tokens.size() * sizeof(Token) + prefix.name_space.size();
    prefix.identity = identity_;
    auto kept = std::make_shared<const SavedPrefix>(std::move(prefix));
    Entry entry{kept->name_space, kept->tokens, nullptr, "", n_bytes};
    if (!params_.folder.empty() && n_bytes <= params_.max_file_bytes) {
        entry.file = file_name(*kept);
        n_file_bytes_ += n_bytes;
        write_later(kept, entry.file);
    }
    if (n_bytes <= params_.max_memory_bytes) {
        entry.prefix = kept;
        n_memory_bytes_ += n_bytes;
    }
    if (entry.prefix == nullptr && entry.file.empty()) {
        return;
    }
    entries_.push_front(std::move(entry));
    shrink_memory();
    shrink_files();
}

void PrefixStore::erase(Entries::iterator entry) {
    if (entry->prefix != nullptr) {
        n_memory_bytes_ -= entry->n_bytes;
    }
    if (!entry->file.empty()) {
        n_file_bytes_ -= entry->n_bytes;
        write_later(nullptr, entry->file);
    }
    entries_.erase(entry);
}

void PrefixStore::shrink_memory() {
    for (auto it = entries_.end(); n_memory_bytes_ > params_.max_memory_bytes && it != entries_.begin();) {
        const auto entry = --it;
        if (entry->prefix == nullptr) {
            continue;
        }
        n_memory_bytes_ -= entry->n_bytes;
        entry->prefix.reset();
        if (entry->file.empty()) {
            it = entries_.erase(entry);
        }
    }
}

void PrefixStore::shrink_files() {
    for (auto it = entries_.end(); n_file_bytes_ > params_.max_file_bytes && it != entries_.begin();) {
        const auto entry = --it;
        if (entry->file.empty()) {
            continue;
        }
        n_file_bytes_ -= entry->n_bytes;
        write_later(nullptr, entry->file);
        entry->file.clear();
        if (entry->prefix == nullptr) {
            it = entries_.erase(entry);
        }
    }
}

PrefixStore::Found PrefixStore::find(const std::string& name_space, const std::vector<Token>& tokens,
                                     int limit, int n_known, bool is_whole) {
    while (true) {
        auto best = entries_.end();
        size_t n_best = static_cast<size_t>(std::max(0, n_known));
        for (auto it = entries_.begin(); it != entries_.end(); ++it) {
            const size_t n = it->name_space == name_space
                                 ? n_common(it->tokens, tokens, static_cast<size_t>(std::max(0, limit)))
                                 : 0;
            if (n > n_best && (!is_whole || n == it->tokens.size())) {
                best = it;
                n_best = n;
            }
        }
        if (best == entries_.end()) {
            return {};
        }
        entries_.splice(entries_.begin(), entries_, best);
        if (auto prefix = load(*best)) {
            return {std::move(prefix), static_cast<int>(n_best)};
        }
        erase(best); // its file is gone or damaged
    }
}

std::shared_ptr<const SavedPrefix> PrefixStore::load(const Entry& entry) {
    if (entry.prefix != nullptr) {
        return entry.prefix;
    }
    {
        const std::lock_guard lock(mutex_);
        for (const Writing& writing : to_write_) { // it may not be there yet
            if (writing.file == entry.file && writing.prefix != nullptr) {
                return writing.prefix;
            }
        }
    }
    const fs::path path = fs::path(params_.folder) / entry.file;
    try {
        std::error_code missing;
        const uint64_t size = fs::file_size(path, missing);
        if (missing) {
            return nullptr;
        }
        auto prefix = std::make_shared<SavedPrefix>(decode_prefix(read_bytes(path, size)));
        const bool is_it = prefix->identity == identity_ && prefix->name_space == entry.name_space &&
                           prefix->tokens == entry.tokens;
        std::error_code ignored; // of its time: it only says what was used last
        fs::last_write_time(path, fs::file_time_type::clock::now(), ignored);
        return is_it ? prefix : nullptr;
    } catch (const std::exception&) {
        return nullptr;
    }
}

void PrefixStore::write_later(const std::shared_ptr<const SavedPrefix>& prefix, const std::string& file) {
    {
        const std::lock_guard lock(mutex_);
        to_write_.push_back({prefix, file});
    }
    changed_.notify_all();
}

void PrefixStore::run() {
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
        changed_.wait(lock, [this] { return is_closing_ || !to_write_.empty(); });
        if (to_write_.empty()) {
            return;
        }
        const Writing writing = to_write_.front(); // stays until it is there, so that it is found
        lock.unlock();
        const fs::path path = fs::path(params_.folder) / writing.file;
        try {
            if (writing.prefix != nullptr) {
                write_file(path, *writing.prefix);
            } else {
                std::error_code ignored;
                fs::remove(path, ignored);
            }
        } catch (const std::exception&) {
            static_cast<void>(0); // without the file it is computed again
        }
        lock.lock();
        to_write_.pop_front();
    }
}

} // namespace inllama
