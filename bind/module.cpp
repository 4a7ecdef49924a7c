// The native module: a table of contents.
#include "bind/module.h"

NB_MODULE(_core, m) {
    m.doc() = "Native half of inllama. Private: use the names in inllama.";
    if (std::getenv("INLLAMA_LEAK_WARNINGS") == nullptr) {
        nb::set_leak_warnings(false);
    }
    inllama::bind_errors(m);
    inllama::bind_exit(m);
    inllama::bind_backend(m);
    inllama::bind_model(m);
    inllama::bind_tokenizer(m);
    inllama::bind_chat_template(m);
    inllama::bind_rank_prompt(m);
    inllama::bind_adapter(m);
    inllama::bind_batch(m);
    inllama::bind_context(m);
    inllama::bind_memory(m);
    inllama::bind_samplers(m);
    inllama::bind_sampling_params(m);
    inllama::bind_stop_matcher(m);
    inllama::bind_structure(m);
    inllama::bind_event_queue(m);
    inllama::bind_engine(m);
    inllama::bind_fake_engine(m);
    inllama::bind_estimate(m);
    inllama::bind_quantize(m);
    inllama::bind_gguf(m);
}
