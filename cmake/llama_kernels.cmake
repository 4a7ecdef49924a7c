# What this project changes in ggml; the tree stays as it is.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    set_property(SOURCE ${INLLAMA_LLAMA_DIR}/ggml/src/ggml-cpu/amx/mmq.cpp TARGET_DIRECTORY ggml-cpu
        APPEND PROPERTY COMPILE_OPTIONS -include ${CMAKE_CURRENT_LIST_DIR}/ggml/tile_config.h)
endif()

# llama.cpp's own tools are what inllama is compared with: they get its kernels and its memory.
if(NOT INLLAMA_BENCH_TOOLS)
    if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
        target_sources(ggml-base PRIVATE ${CMAKE_CURRENT_LIST_DIR}/ggml/huge_pages.c)
        set_property(SOURCE ${INLLAMA_LLAMA_DIR}/ggml/src/ggml.c TARGET_DIRECTORY ggml-base
            APPEND PROPERTY COMPILE_DEFINITIONS posix_memalign=inllama_posix_memalign)
    endif()

    find_package(Python 3.11 REQUIRED COMPONENTS Interpreter)
    set(patch ${CMAKE_CURRENT_LIST_DIR}/patches/flash-attention-rows.patch)
    set(patch_script ${CMAKE_CURRENT_LIST_DIR}/apply_patch.py)
    set(patched_dir ${CMAKE_BINARY_DIR}/llama_kernels)
    set(cpu_dir ggml/src/ggml-cpu)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${patch} ${patch_script})
    execute_process(
        COMMAND ${Python_EXECUTABLE} ${patch_script} ${INLLAMA_LLAMA_DIR} ${cpu_dir}/ops.cpp ${patched_dir} ${patch}
        OUTPUT_VARIABLE applied COMMAND_ERROR_IS_FATAL ANY)
    if(applied)
        get_target_property(sources ggml-cpu SOURCES)
        list(TRANSFORM sources REPLACE "^ggml-cpu/(ops\\.cpp|ggml-cpu\\.c)$" "${patched_dir}/${cpu_dir}/\\1")
        set_target_properties(ggml-cpu PROPERTIES SOURCES "${sources}")
        target_include_directories(ggml-cpu PRIVATE ${INLLAMA_LLAMA_DIR}/${cpu_dir})
        if(CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
            target_compile_options(ggml-cpu PRIVATE -ffile-prefix-map=${patched_dir}=llama.cpp)
        endif()
    else()
        message(STATUS "inllama: flash-attention-rows.patch does not fit this llama.cpp; steps of few rows are slower")
    endif()
endif()
