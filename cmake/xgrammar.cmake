# xgrammar's C++ core as a static library of our own: its CMakeLists.txt forces -flto and -Werror on everybody.
include(xgrammar_source)

inllama_find_xgrammar(INLLAMA_XGRAMMAR_DIR INLLAMA_XGRAMMAR_TREE)

file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${INLLAMA_XGRAMMAR_DIR}/cpp/*.cc)
# Its Python binding.
list(FILTER sources EXCLUDE REGEX "/cpp/tvm_ffi/")
# FSMWithStartEnd::MergeEquivalentStates merges states that begin alike and states that end alike in one round. A state of
# both kinds then joins two that are not equivalent, and 0|[01e]|(0){1,3} matches 10. Who was merged
# already waits for the next round, as in the rule before. A tree without these lines is taken as it is:
# core/xgrammar/compiler.cpp refuses to work with one that has the fault.
file(READ ${INLLAMA_XGRAMMAR_DIR}/cpp/fsm.cc fsm)
string(REPLACE
    "if (outgoing_count == 0) {\n        if (result.IsEndState(i)) {"
    "if (outgoing_count == 0) {\n        if (union_find_set.Count(i)) {\n          continue;\n        }\n        if (result.IsEndState(i)) {"
    mended "${fsm}")
if(mended STREQUAL fsm)
    message(STATUS "inllama: cpp/fsm.cc of xgrammar is another one than the one that is known to need mending")
endif()
file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/xgrammar/fsm.cc CONTENT "${mended}" @ONLY)
list(FILTER sources EXCLUDE REGEX "/cpp/fsm\\.cc$")
list(APPEND sources ${CMAKE_BINARY_DIR}/xgrammar/fsm.cc)
add_library(xgrammar STATIC EXCLUDE_FROM_ALL ${sources})
target_include_directories(xgrammar SYSTEM PUBLIC
    ${INLLAMA_XGRAMMAR_DIR}/include ${INLLAMA_XGRAMMAR_DIR}/3rdparty/dlpack/include)
target_include_directories(xgrammar SYSTEM PRIVATE
    ${INLLAMA_XGRAMMAR_DIR}/cpp ${INLLAMA_XGRAMMAR_DIR}/3rdparty/picojson)
# Its log goes to core/xgrammar/log.cpp instead of stderr.
target_compile_definitions(xgrammar PRIVATE
    XGRAMMAR_ENABLE_CPPTRACE=0 XGRAMMAR_ENABLE_INTERNAL_CHECK=0 XGRAMMAR_LOG_CUSTOMIZE=1)
if(CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
    # Its warnings are not ours to mend, its asserts should not name a folder of the building machine, and without
    # optimization a large vocabulary takes seconds.
    target_compile_options(xgrammar PRIVATE -w $<$<NOT:$<CONFIG:Release>>:-O2> -ffile-prefix-map=${INLLAMA_XGRAMMAR_DIR}=xgrammar)
endif()
find_package(Threads REQUIRED)
target_link_libraries(xgrammar PUBLIC Threads::Threads)
