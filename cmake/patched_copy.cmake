# Copies of parts of llama.cpp's tree, with our patches; the tree itself stays as it is.
find_package(Python 3.11 REQUIRED COMPONENTS Interpreter)

# Copies PART, and what the patches of these names change, to FOLDER; APPLIED are those that fit this llama.cpp.
function(inllama_patched_copy part folder applied)
    set(script ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/apply_patch.py)
    list(TRANSFORM ARGN PREPEND ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/patches/ OUTPUT_VARIABLE files)
    list(TRANSFORM files APPEND .patch)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${files} ${script})
    execute_process(
        COMMAND ${Python_EXECUTABLE} ${script} ${INLLAMA_LLAMA_DIR} ${part} ${folder} ${files}
        OUTPUT_VARIABLE fitting COMMAND_ERROR_IS_FATAL ANY)
    set(${applied} "${fitting}" PARENT_SCOPE)
endfunction()
