#include "core/batch.h"

#include "core/error.h"

#include <string>

namespace inllama {

namespace {

void check_length(const char* what, size_t n, size_t n_tokens) {
    if (n != n_tokens) {
        throw Error(ErrorKind::InvalidRequestError, "there are " + std::to_string(n_tokens) + " tokens but " +
                                                        std::to_string(n) + " " + what +
                                                        "; give one for each token")
            .with("n_tokens", n_tokens);
    }
}

} // namespace

void Batch::add(const BatchRows& rows) {
    const ExclusiveUse::Guard guard(use, "Batch");
    const size_t n = rows.tokens.size();
    check_length("output flags", rows.outputs.size(), n);
    if (rows.positions) {
        check_length("positions", rows.positions->size(), n);
    }
    const bool has_positions = !positions.empty();
    if (!tokens.empty() && n > 0 && has_positions != rows.positions.has_value()) {
        throw Error(
            ErrorKind::InvalidRequestError,
            "some rows of the batch have positions and some do not; give them for all rows or for none");
    }
    tokens.insert(tokens.end(), rows.tokens.begin(), rows.tokens.end());
    sequences.insert(sequences.end(), n, rows.sequence);
    outputs.insert(outputs.end(), rows.outputs.begin(), rows.outputs.end());
    if (rows.positions) {
        positions.insert(positions.end(), rows.positions->begin(), rows.positions->end());
    }
}

void Batch::clear() {
    const ExclusiveUse::Guard guard(use, "Batch");
    tokens.clear();
    positions.clear();
    sequences.clear();
    outputs.clear();
}

} // namespace inllama
