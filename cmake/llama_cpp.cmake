# llama.cpp as static libraries, with the options that this project fixes.
include(llama_cpp_source)
include(backend)

inllama_find_llama_cpp(INLLAMA_LLAMA_DIR INLLAMA_LLAMA_TREE)

set(BUILD_SHARED_LIBS OFF)
# The library that llama.cpp's own tools share; inllama takes a part of its files (llama_chat.cmake).
set(LLAMA_BUILD_COMMON ${INLLAMA_BENCH_TOOLS})
set(LLAMA_BUILD_TESTS OFF)
set(LLAMA_BUILD_EXAMPLES OFF)
set(LLAMA_BUILD_APP OFF)
set(LLAMA_BUILD_TOOLS ${INLLAMA_BENCH_TOOLS})
set(LLAMA_BUILD_SERVER ${INLLAMA_BENCH_TOOLS})
set(LLAMA_USE_PREBUILT_UI OFF)
set(LLAMA_TOOLS_INSTALL OFF)
set(LLAMA_OPENSSL OFF)
set(LLAMA_SUBPROCESS OFF)
set(LLAMA_LLGUIDANCE OFF)
set(LLAMA_ALL_WARNINGS OFF)
set(GGML_RPC OFF)
# A second OpenMP runtime beside the one of another package oversubscribes the machine; contexts bring their own pools.
set(GGML_OPENMP OFF)
set(GGML_BACKEND_DL OFF)
# The pin, not whatever git repository happens to surround the tree.
string(SUBSTRING "${INLLAMA_LLAMA_TREE}" 0 9 INLLAMA_LLAMA_SHORT)
set(LLAMA_BUILD_NUMBER 0)
set(LLAMA_BUILD_COMMIT ${INLLAMA_LLAMA_SHORT})
set(GIT_EXE "" CACHE FILEPATH "" FORCE)

# The options above are plain variables: they win over the option() defaults of the tree.
set(CMAKE_POLICY_DEFAULT_CMP0077 NEW)
add_subdirectory(${INLLAMA_LLAMA_DIR} ${CMAKE_BINARY_DIR}/llama.cpp EXCLUDE_FROM_ALL)

foreach(library llama ggml ggml-base ggml-cpu)
    if(CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
        # Its warnings are not ours to mend, and its asserts should not name a folder of the building machine.
        target_compile_options(${library} PRIVATE -w -ffile-prefix-map=${INLLAMA_LLAMA_DIR}=llama.cpp)
    endif()
endforeach()

if(CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang" AND NOT MSVC)
    # A failed assertion throws while a file is loaded (core/llama/backend.cpp), through the C of ggml_abort().
    target_compile_options(ggml-base PRIVATE $<$<COMPILE_LANGUAGE:C>:-fexceptions>)
endif()

include(llama_kernels)

if(INLLAMA_BENCH_TOOLS)
    # Neither llama.cpp nor inllama has a tool for these alone.
    foreach(name tokenize sample schema-grammar load check)
        string(REPLACE "-" "_" source ${name})
        add_executable(bench-${name} ${PROJECT_SOURCE_DIR}/bench/${source}.cpp)
        target_link_libraries(bench-${name} PRIVATE llama)
        set_target_properties(bench-${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
    endforeach()
    target_link_libraries(bench-schema-grammar PRIVATE llama-common)
    target_link_libraries(bench-check PRIVATE inllama_core)
endif()
