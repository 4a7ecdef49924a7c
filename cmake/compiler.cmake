# Says in one sentence that there is no compiler, which CMake would say in twenty lines.
if(NOT DEFINED ENV{CXX} AND NOT CMAKE_CXX_COMPILER AND NOT WIN32)
    find_program(INLLAMA_CXX NAMES c++ g++ clang++)
    if(NOT INLLAMA_CXX)
        message(FATAL_ERROR "inllama: there is no C++ compiler; install one, on Debian with 'apt install g++'")
    endif()
endif()
