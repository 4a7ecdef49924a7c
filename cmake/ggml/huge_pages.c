/* ggml's buffers on huge pages, on Linux, where the system leaves that to programs. Weights are read from one end to
 * the other for every token, and with pages of 4 KiB the processor looks an address up for every 64 lines of them.
 * ggml.c is compiled to take its memory here. */
#define _DEFAULT_SOURCE
#include <stdlib.h>
#include <sys/mman.h>

int inllama_posix_memalign(void ** memory, size_t alignment, size_t size);

int inllama_posix_memalign(void ** memory, size_t alignment, size_t size) {
    const size_t huge = (size_t) 2 << 20;
    if (size < 2*huge) {
        return posix_memalign(memory, alignment, size);
    }
    const int problem = posix_memalign(memory, huge, size);
#ifdef MADV_HUGEPAGE
    if (problem == 0) {
        /* What is behind the last whole one may belong to others. A kernel without them refuses, and nothing is lost. */
        (void) madvise(*memory, size/huge*huge, MADV_HUGEPAGE);
    }
#endif
    return problem;
}
