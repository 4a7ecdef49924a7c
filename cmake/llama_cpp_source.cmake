# Where llama.cpp comes from. Moving to another release means changing the pin here and nothing else.
set(INLLAMA_LLAMA_COMMIT 0c1e57098bba43ac29e6e3b677cdceebdd22334f)
set(INLLAMA_LLAMA_DATE 2026-10-01)
set(INLLAMA_LLAMA_PACKAGE llama-cpp-python)
set(INLLAMA_LLAMA_PACKAGE_VERSION 0.3.36)
set(INLLAMA_LLAMA_PACKAGE_SHA256 832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e)

set(LLAMA_CPP_SOURCE_DIR "" CACHE PATH "A llama.cpp tree on disk, used instead of the pinned one")
set(LLAMA_CPP_GIT_TAG "" CACHE STRING "A llama.cpp tag or commit, fetched with git instead of the pinned one")
set(INLLAMA_CARRIED_LLAMA ${CMAKE_CURRENT_LIST_DIR}/../third_party/llama.cpp)

include(pypi_source)

# Sets <out_dir> to the llama.cpp tree and <out_commit> to the commit it is known to be at.
function(inllama_find_llama_cpp out_dir out_commit)
    set(commit ${INLLAMA_LLAMA_COMMIT})
    if(LLAMA_CPP_SOURCE_DIR)
        set(dir "${LLAMA_CPP_SOURCE_DIR}")
        set(commit "LLAMA_CPP_SOURCE_DIR")
        set(INLLAMA_LLAMA_DATE "" PARENT_SCOPE)
        message(STATUS "inllama: llama.cpp from LLAMA_CPP_SOURCE_DIR, ${dir}")
    elseif(LLAMA_CPP_GIT_TAG)
        include(FetchContent)
        FetchContent_Declare(llama_cpp
            GIT_REPOSITORY https://github.com/ggml-org/llama.cpp GIT_TAG ${LLAMA_CPP_GIT_TAG}
            SOURCE_SUBDIR none)
        FetchContent_MakeAvailable(llama_cpp)
        set(dir "${llama_cpp_SOURCE_DIR}")
        set(commit ${LLAMA_CPP_GIT_TAG})
        set(INLLAMA_LLAMA_DATE "" PARENT_SCOPE)
        message(STATUS "inllama: llama.cpp from git at ${LLAMA_CPP_GIT_TAG}")
    elseif(INLLAMA_IS_SDIST AND EXISTS "${INLLAMA_CARRIED_LLAMA}/CMakeLists.txt")
        get_filename_component(dir "${INLLAMA_CARRIED_LLAMA}" REALPATH)
        message(STATUS "inllama: llama.cpp ${commit} carried by this source distribution")
    else()
        inllama_pypi_source(dir
            PACKAGE ${INLLAMA_LLAMA_PACKAGE} VERSION ${INLLAMA_LLAMA_PACKAGE_VERSION}
            SHA256 ${INLLAMA_LLAMA_PACKAGE_SHA256} OVERRIDE LLAMA_CPP_SOURCE_DIR SUBDIRECTORY vendor/llama.cpp)
        message(STATUS "inllama: llama.cpp ${commit} from ${INLLAMA_LLAMA_PACKAGE} ${INLLAMA_LLAMA_PACKAGE_VERSION}, ${dir}")
    endif()
    if(NOT EXISTS "${dir}/include/llama.h")
        message(FATAL_ERROR "inllama: ${dir} is not a llama.cpp tree (it has no include/llama.h)")
    endif()
    set(${out_dir} "${dir}" PARENT_SCOPE)
    set(${out_commit} "${commit}" PARENT_SCOPE)
endfunction()

# Copies what the build reads of the pinned tree into third_party/, for the source distribution.
function(inllama_carry_llama_cpp)
    if(INLLAMA_IS_SDIST)
        return()
    endif()
    if(LLAMA_CPP_SOURCE_DIR OR LLAMA_CPP_GIT_TAG)
        message(FATAL_ERROR "inllama: a source distribution carries the pinned llama.cpp; "
            "unset LLAMA_CPP_SOURCE_DIR and LLAMA_CPP_GIT_TAG")
    endif()
    inllama_find_llama_cpp(dir commit)
    set(to "${CMAKE_CURRENT_SOURCE_DIR}/third_party/llama.cpp")
    file(REMOVE_RECURSE "${to}")
    foreach(part CMakeLists.txt LICENSE AUTHORS licenses cmake common include src vendor ggml)
        file(COPY "${dir}/${part}" DESTINATION "${to}")
    endforeach()
endfunction()
