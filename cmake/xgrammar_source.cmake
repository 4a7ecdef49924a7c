# Where xgrammar comes from. Moving to another release means changing the pin here and nothing else.
set(INLLAMA_XGRAMMAR_VERSION 0.2.8)
set(INLLAMA_XGRAMMAR_SHA256 8305646fd2b319d6c3003f51a1665e54cbbe9cba1fb636bc41d0b46434ccbb80)

set(XGRAMMAR_SOURCE_DIR "" CACHE PATH "An xgrammar tree on disk, used instead of the pinned one")
set(INLLAMA_CARRIED_XGRAMMAR ${CMAKE_CURRENT_LIST_DIR}/../third_party/xgrammar)

include(pypi_source)

# Sets <out_dir> to the xgrammar tree and <out_version> to the release it is known to be.
function(inllama_find_xgrammar out_dir out_version)
    set(version ${INLLAMA_XGRAMMAR_VERSION})
    if(XGRAMMAR_SOURCE_DIR)
        set(dir "${XGRAMMAR_SOURCE_DIR}")
        set(version "XGRAMMAR_SOURCE_DIR")
        message(STATUS "inllama: xgrammar from XGRAMMAR_SOURCE_DIR, ${dir}")
    elseif(INLLAMA_IS_SDIST AND EXISTS "${INLLAMA_CARRIED_XGRAMMAR}/include/xgrammar/xgrammar.h")
        get_filename_component(dir "${INLLAMA_CARRIED_XGRAMMAR}" REALPATH)
        message(STATUS "inllama: xgrammar ${version} carried by this source distribution")
    else()
        inllama_pypi_source(dir
            PACKAGE xgrammar VERSION ${version} SHA256 ${INLLAMA_XGRAMMAR_SHA256} OVERRIDE XGRAMMAR_SOURCE_DIR)
        message(STATUS "inllama: xgrammar ${version}, ${dir}")
    endif()
    if(NOT EXISTS "${dir}/include/xgrammar/xgrammar.h" OR NOT EXISTS "${dir}/3rdparty/picojson/picojson.h")
        message(FATAL_ERROR
            "inllama: ${dir} is not an xgrammar tree (it lacks include/xgrammar/xgrammar.h or 3rdparty/picojson)")
    endif()
    set(${out_dir} "${dir}" PARENT_SCOPE)
    set(${out_version} "${version}" PARENT_SCOPE)
endfunction()

# Copies what the build reads of the pinned tree into third_party/, for the source distribution.
function(inllama_carry_xgrammar)
    if(INLLAMA_IS_SDIST)
        return()
    endif()
    if(XGRAMMAR_SOURCE_DIR)
        message(FATAL_ERROR "inllama: a source distribution carries the pinned xgrammar; unset XGRAMMAR_SOURCE_DIR")
    endif()
    inllama_find_xgrammar(dir version)
    set(to "${CMAKE_CURRENT_SOURCE_DIR}/third_party/xgrammar")
    file(REMOVE_RECURSE "${to}")
    foreach(part LICENSE NOTICE include cpp)
        file(COPY "${dir}/${part}" DESTINATION "${to}" PATTERN tvm_ffi EXCLUDE)
    endforeach()
    file(COPY "${dir}/3rdparty/picojson" DESTINATION "${to}/3rdparty")
    file(COPY "${dir}/3rdparty/dlpack/LICENSE" "${dir}/3rdparty/dlpack/include" DESTINATION "${to}/3rdparty/dlpack")
endfunction()
