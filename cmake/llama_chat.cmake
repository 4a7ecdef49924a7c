# llama.cpp's chat layer as a static library of our own: templates, the parsers of their families, grammars.
#
# All of llama.cpp's `common` would bring downloads, argument parsing and a log with a thread of its own; what the chat
# layer needs of that is in core/llama/chat_symbols.cpp. Our patches are applied to a copy: the tree stays as it is.
include(patched_copy)

set(patches jinja-limits peg-nesting jinja-speed json-schema-log)
set(INLLAMA_CHAT_DIR ${CMAKE_BINARY_DIR}/llama_chat)
inllama_patched_copy(common ${INLLAMA_CHAT_DIR} applied ${patches})
foreach(patch IN LISTS patches)
    if(NOT patch IN_LIST applied)
        message(STATUS "inllama: ${patch}.patch does not fit this llama.cpp")
    endif()
endforeach()
set(INLLAMA_TEMPLATE_LIMITS OFF)
if("jinja-limits" IN_LIST applied AND "peg-nesting" IN_LIST applied)
    set(INLLAMA_TEMPLATE_LIMITS ON)
else()
    message(WARNING "inllama: without limits on chat templates, this build renders none")
endif()

set(chat_dir ${INLLAMA_CHAT_DIR}/common)
file(GLOB parsers ${chat_dir}/parsers/*.cpp)
file(GLOB sources ${chat_dir}/jinja/*.cpp)
foreach(name chat chat-auto-parser-generator chat-auto-parser-helpers chat-diff-analyzer chat-peg-parser
        json json-schema json-schema-to-grammar peg-parser trie unicode)
    list(APPEND sources ${chat_dir}/${name}.cpp)
endforeach()
add_library(llama_chat STATIC ${parsers} ${sources})
target_include_directories(llama_chat SYSTEM PUBLIC ${chat_dir} PRIVATE ${INLLAMA_LLAMA_DIR}/vendor)
target_link_libraries(llama_chat PUBLIC llama)
# The headers of the parsers take most of the time of compiling.
set_target_properties(llama_chat PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 6)
set_source_files_properties(${sources} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
# A template that is wrong is an assert in some of its files, and an error behind it.
target_compile_definitions(llama_chat PRIVATE NDEBUG)
if(CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
    # As llama.cpp itself: its warnings are not ours to mend, and no text names a folder of the building machine.
    target_compile_options(llama_chat PRIVATE -w -ffile-prefix-map=${INLLAMA_CHAT_DIR}=llama.cpp)
endif()
