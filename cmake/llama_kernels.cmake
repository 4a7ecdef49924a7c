# What this project changes in ggml and in the graphs of models; the tree stays as it is.
include(patched_copy)

# llama.cpp's own tools are what inllama is compared with: they get its kernels, its graphs and its memory.
if(NOT INLLAMA_BENCH_TOOLS)
    if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
        target_sources(ggml-base PRIVATE ${CMAKE_CURRENT_LIST_DIR}/ggml/huge_pages.c)
        set_property(SOURCE ${INLLAMA_LLAMA_DIR}/ggml/src/ggml.c TARGET_DIRECTORY ggml-base
            APPEND PROPERTY COMPILE_DEFINITIONS posix_memalign=inllama_posix_memalign)
    endif()

    # Takes the sources of a target that MATCH from the copy in FOLDER, where they are as in ROOT.
    function(inllama_take_patched target match root folder)
        get_target_property(sources ${target} SOURCES)
        list(TRANSFORM sources REPLACE "^(.*/)?(${match})$" "${folder}/${root}/\\2")
        set_target_properties(${target} PROPERTIES SOURCES "${sources}")
        if(CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
            target_compile_options(${target} PRIVATE -ffile-prefix-map=${folder}=llama.cpp)
        endif()
    endfunction()

    set(folder ${CMAKE_BINARY_DIR}/llama_kernels)
    set(cpu_dir ggml/src/ggml-cpu)
    inllama_patched_copy(${cpu_dir}/amx ${folder} applied flash-attention-rows amx-batches)
    target_include_directories(ggml-cpu PRIVATE ${INLLAMA_LLAMA_DIR}/${cpu_dir})
    if("flash-attention-rows" IN_LIST applied)
        inllama_take_patched(ggml-cpu "ops\\.cpp|ggml-cpu\\.c" ${cpu_dir} ${folder})
    else()
        message(STATUS "inllama: flash-attention-rows.patch does not fit this llama.cpp; steps of few rows are slower")
    endif()
    if("amx-batches" IN_LIST applied)
        inllama_take_patched(ggml-cpu "amx/(amx|mmq)\\.cpp" ${cpu_dir} ${folder})
    else()
        message(WARNING "inllama: amx-batches.patch does not fit this llama.cpp; CPUs with AMX may compute batches wrong")
    endif()

    set(folder ${CMAKE_BINARY_DIR}/llama_models)
    inllama_patched_copy(src/models ${folder} applied plamo2-sequences)
    if("plamo2-sequences" IN_LIST applied)
        inllama_take_patched(llama "models/plamo2\\.cpp" src ${folder})
        # Its headers are copies too, which other files do not include.
        set_property(SOURCE ${folder}/src/models/plamo2.cpp TARGET_DIRECTORY llama
            PROPERTY SKIP_UNITY_BUILD_INCLUSION ON)
    else()
        message(WARNING "inllama: plamo2-sequences.patch does not fit this llama.cpp; PLaMo 2 may compute batches wrong")
    endif()
endif()

if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    get_target_property(sources ggml-cpu SOURCES)
    list(FILTER sources INCLUDE REGEX "amx/mmq\\.cpp$")
    foreach(source IN LISTS sources)
        cmake_path(ABSOLUTE_PATH source BASE_DIRECTORY ${INLLAMA_LLAMA_DIR}/ggml/src)
        set_property(SOURCE ${source} TARGET_DIRECTORY ggml-cpu
            APPEND PROPERTY COMPILE_OPTIONS -include ${CMAKE_CURRENT_LIST_DIR}/ggml/tile_config.h)
    endforeach()
endif()
