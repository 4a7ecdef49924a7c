# ccache makes a second build fast; nothing needs it.
find_program(INLLAMA_CCACHE ccache)
if(INLLAMA_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
    set(CMAKE_C_COMPILER_LAUNCHER ${INLLAMA_CCACHE})
    set(CMAKE_CXX_COMPILER_LAUNCHER ${INLLAMA_CCACHE})
    set(CMAKE_CUDA_COMPILER_LAUNCHER ${INLLAMA_CCACHE})
endif()
# ggml would look for ccache or sccache by itself.
set(GGML_CCACHE OFF CACHE BOOL "" FORCE)
