#include "core/prefix_store.h"

#include "core/checksum.h"
#include "core/error.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <random>
#include <sstream>
#include <system_error>

namespace inllama {

namespace {

namespace fs = std::filesystem;

constexpr const char* kSuffix = ".prefix";
constexpr const char* kDraftSuffix = ".tmp";
constexpr std::chrono::hours kDraftAge{1}; // an older one was left behind
// States that wait to be written; beyond them prefixes are kept in memory only, or not at all.
constexpr uint64_t kMaxQueuedBytes = uint64_t{256} << 20;

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
    draft += "." + std::to_string(std::random_device()()) + kDraftSuffix;
    std::ofstream file(draft, std::ios::binary);
    std::error_code unchanged;
    // It has what was said.
    fs::permissions(draft, fs::perms::owner_read | fs::perms::owner_write, unchanged);
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
    if (fs::create_directories(params_.folder, problem)) {
        std::error_code unchanged;
        fs::permissions(params_.folder, fs::perms::owner_all, unchanged);
    }
    std::vector<std::pair<fs::file_time_type, Entry>> found;
    for (fs::directory_iterator it(params_.folder, problem), end; !problem && it != end;
         it.increment(problem)) {
        try {
            const bool is_draft = it->path().extension() == kDraftSuffix;
            if (is_draft && fs::file_time_type::clock::now() - it->last_write_time() > kDraftAge) {
                fs::remove(it->path());
            }
            if (it->path().extension() != kSuffix) {
                continue;
            }
            const uint64_t size = it->file_size();
            const std::string header = read_bytes(it->path(), kPrefixHeaderBytes);
            if (is_outdated_prefix(header)) {
                fs::remove(it->path());
                continue;
            }
            const uint64_t n_head = prefix_head_bytes(header);
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
    const uint64_t n_bytes =
        prefix.state.size() + prefix.tokens.size() * sizeof(Token) + prefix.name_space.size();
    const bool fits_file =
        !params_.folder.empty() && n_bytes <= params_.max_file_bytes && has_room_to_write(n_bytes);
    const bool fits_memory = n_bytes <= params_.max_memory_bytes;
    if (!fits_file && !fits_memory) {
        return;
    }
    drop_covered(prefix);
    prefix.identity = identity_;
    auto kept = std::make_shared<const SavedPrefix>(std::move(prefix));
    Entry entry{kept->name_space, kept->tokens, nullptr, "", n_bytes};
    if (fits_file) {
        entry.file = file_name(*kept);
        n_file_bytes_ += n_bytes;
        write_later(kept, entry.file);
    }
    if (fits_memory) {
        entry.prefix = kept;
        n_memory_bytes_ += n_bytes;
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

void PrefixStore::forget(const SavedPrefix& prefix) {
    const auto found = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& entry) {
        return entry.name_space == prefix.name_space && entry.tokens == prefix.tokens;
    });
    if (found != entries_.end()) {
        erase(found);
    }
}

void PrefixStore::wait_for_files() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return to_write_.empty(); });
}

bool PrefixStore::has_room_to_write(uint64_t n_bytes) {
    const std::lock_guard lock(mutex_);
    return to_write_.empty() || n_queued_bytes_ + n_bytes <= kMaxQueuedBytes;
}

PrefixStore::Found PrefixStore::find(const std::string& name_space, const std::vector<Token>& tokens,
                                     const Wanted& wanted) {
    while (true) {
        auto best = entries_.end();
        size_t n_best = static_cast<size_t>(std::max(0, wanted.n_known));
        for (auto it = entries_.begin(); it != entries_.end(); ++it) {
            const size_t n =
                it->name_space == name_space
                    ? n_common(it->tokens, tokens, static_cast<size_t>(std::max(0, wanted.limit)))
                    : 0;
            const bool is_possible = it->tokens.size() <= static_cast<size_t>(wanted.n_most) &&
                                     (!wanted.is_whole || n == it->tokens.size());
            if (n > n_best && is_possible) {
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
        for (Writing& earlier : to_write_) {
            if (earlier.file == file && earlier.prefix != nullptr) { // it need not be there any more
                n_queued_bytes_ -= earlier.prefix->state.size();
                earlier.prefix = nullptr;
            }
        }
        to_write_.push_back({prefix, file});
        n_queued_bytes_ += prefix == nullptr ? 0 : prefix->state.size();
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
        n_queued_bytes_ -= to_write_.front().prefix == nullptr ? 0 : to_write_.front().prefix->state.size();
        to_write_.pop_front();
        changed_.notify_all();
    }
}

} // namespace inllama
