# xgrammar's C++ core as a static library of our own: its CMakeLists.txt forces -flto and -Werror on everybody.
include(xgrammar_source)

inllama_find_xgrammar(INLLAMA_XGRAMMAR_DIR INLLAMA_XGRAMMAR_TREE)

# A copy, because some lines of it are replaced. A tree that lacks one of them is another release: read again then what
# is still needed.
set(tree ${CMAKE_BINARY_DIR}/xgrammar)
file(GLOB_RECURSE names CONFIGURE_DEPENDS RELATIVE ${INLLAMA_XGRAMMAR_DIR}/cpp
    ${INLLAMA_XGRAMMAR_DIR}/cpp/*.cc ${INLLAMA_XGRAMMAR_DIR}/cpp/*.h)
list(FILTER names EXCLUDE REGEX "^tvm_ffi/") # its Python binding
set(mended fsm.cc grammar_compiler.cc grammar_matcher.cc tokenizer_info.cc tokenizer_info_impl.h)
foreach(name IN LISTS names)
    if(NOT name IN_LIST mended)
        get_filename_component(folder ${name} DIRECTORY)
        file(COPY ${INLLAMA_XGRAMMAR_DIR}/cpp/${name} DESTINATION ${tree}/${folder})
    endif()
endforeach()
set(sources ${names})
list(FILTER sources INCLUDE REGEX "\\.cc$")
list(TRANSFORM sources PREPEND ${tree}/)

# Sets `code` to a file of the tree, to be mended and written.
macro(inllama_read name)
    file(READ ${INLLAMA_XGRAMMAR_DIR}/cpp/${name} code)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${INLLAMA_XGRAMMAR_DIR}/cpp/${name})
endmacro()
function(inllama_replace from to)
    string(REPLACE "${from}" "${to}" replaced "${code}")
    if(replaced STREQUAL code)
        message(FATAL_ERROR "inllama: ${INLLAMA_XGRAMMAR_DIR} is no xgrammar ${INLLAMA_XGRAMMAR_VERSION}: it has no '${from}'")
    endif()
    set(code "${replaced}" PARENT_SCOPE)
endfunction()
macro(inllama_write name)
    file(CONFIGURE OUTPUT ${tree}/${name} CONTENT "${code}" @ONLY)
endmacro()

# FSMWithStartEnd::MergeEquivalentStates merges states that begin alike and states that end alike in one round. A state of
# both kinds then joins two that are not equivalent, and 0|[01e]|(0){1,3} matches 10. Who was merged already waits for the
# next round, as in the rule before.
inllama_read(fsm.cc)
inllama_replace(
    "if (outgoing_count == 0) {\n        if (result.IsEndState(i)) {"
    "if (outgoing_count == 0) {\n        if (union_find_set.Count(i)) {\n          continue;\n        }\n        if (result.IsEndState(i)) {")
inllama_write(fsm.cc)

# The range of tokens that begin with a token took in those that have it anywhere, if no other one came between.
inllama_read(tokenizer_info.cc)
inllama_replace(
    "(token.find(prefix_stack.top().first) == std::string::npos)"
    "(token.compare(0, prefix_stack.top().first.size(), prefix_stack.top().first) != 0)")
inllama_replace("max_token_chars_ = max_chars;\n" "max_token_chars_ = max_chars;\n  BuildTokenSets();\n")
inllama_write(tokenizer_info.cc)

# A token that passes into a text of limited length was taken as accepted where what follows a rule is known, however
# long its part of that text is; and where only some of what may follow is known, if the rule is used once.
inllama_read(grammar_compiler.cc)
inllama_replace(
    "if (lookahead_completed || !is_exact_lookahead) {\n            tmp_uncertain_indices_.push_back(i);"
    "if (lookahead_completed || !is_exact_lookahead || has_char_budget_rules_) {\n            tmp_uncertain_indices_.push_back(i);")
inllama_write(grammar_compiler.cc)

# Masks close to the largest length of a text took 4 to 28 ms with 150,000 tokens.
set(patches ${CMAKE_CURRENT_LIST_DIR}/xgrammar)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${patches}/token_sets.h ${patches}/char_budget_boundary.cc)
file(READ ${patches}/token_sets.h token_sets)
inllama_read(tokenizer_info_impl.h)
inllama_replace("  void BuildTokenIdToSortedVocabIndex();\n" "${token_sets}  void BuildTokenIdToSortedVocabIndex();\n")
inllama_replace("#include <cstdint>\n" "#include <algorithm>\n#include <cctype>\n#include <cstdint>\n")
inllama_write(tokenizer_info_impl.h)

file(READ ${patches}/char_budget_boundary.cc boundary)
inllama_read(grammar_matcher.cc)
string(FIND "${code}" "void GrammarMatcher::Impl::FillBitmaskForCharBudgetBoundary(" begin)
string(FIND "${code}" "void GrammarMatcher::Impl::FillBitmaskForStates(" end)
if(begin LESS 0 OR end LESS begin)
    message(FATAL_ERROR "inllama: ${INLLAMA_XGRAMMAR_DIR} is no xgrammar ${INLLAMA_XGRAMMAR_VERSION}: grammar_matcher.cc is another")
endif()
string(SUBSTRING "${code}" 0 ${begin} before)
string(SUBSTRING "${code}" ${end} -1 behind)
set(code "#include <bitset>\n${before}${boundary}${behind}")
set(parameters "const AdaptiveTokenMask& adaptive_token_mask, int32_t remaining_chars\n  );")
inllama_replace("FillBitmaskForCharBudgetBoundary(\n      ${parameters}"
                "FillBitmaskForCharBudgetBoundary(\n      const ParserState& state, ${parameters}")
inllama_replace("FillBitmaskForCharBudgetBoundary(adaptive_token_mask," "FillBitmaskForCharBudgetBoundary(state, adaptive_token_mask,")
inllama_write(grammar_matcher.cc)

add_library(xgrammar STATIC EXCLUDE_FROM_ALL ${sources})
target_include_directories(xgrammar SYSTEM PUBLIC
    ${INLLAMA_XGRAMMAR_DIR}/include ${INLLAMA_XGRAMMAR_DIR}/3rdparty/dlpack/include)
target_include_directories(xgrammar SYSTEM PRIVATE
    ${tree} ${INLLAMA_XGRAMMAR_DIR}/3rdparty/picojson)
# Its log goes to core/xgrammar/log.cpp instead of stderr.
target_compile_definitions(xgrammar PRIVATE
    XGRAMMAR_ENABLE_CPPTRACE=0 XGRAMMAR_ENABLE_INTERNAL_CHECK=0 XGRAMMAR_LOG_CUSTOMIZE=1)
if(CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
    # Its warnings are not ours to mend, its asserts should not name a folder of the building machine, and without
    # optimization a large vocabulary takes seconds.
    target_compile_options(xgrammar PRIVATE -w $<$<NOT:$<CONFIG:Release>>:-O2> -ffile-prefix-map=${tree}=xgrammar
        -ffile-prefix-map=${INLLAMA_XGRAMMAR_DIR}=xgrammar)
endif()
find_package(Threads REQUIRED)
target_link_libraries(xgrammar PUBLIC Threads::Threads)
