# inllama_cpu_features(<out>): the instruction sets that ggml's CPU kernels are compiled for, space separated,
# in the spelling of /proc/cpuinfo. Python compares them with the CPU before it loads _core: a missing one would
# be an illegal instruction, which no error handling catches.
function(inllama_cpu_features out)
    set(features "")
    get_target_property(flags ggml-cpu COMPILE_OPTIONS)
    if(flags AND CMAKE_C_COMPILER_ID MATCHES "GNU|Clang" AND CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64|aarch64|arm64")
        list(FILTER flags INCLUDE REGEX "^-[mDU]")
        file(WRITE ${CMAKE_BINARY_DIR}/empty.c "")
        execute_process(
            COMMAND ${CMAKE_C_COMPILER} ${flags} -dM -E ${CMAKE_BINARY_DIR}/empty.c
            OUTPUT_VARIABLE macros RESULT_VARIABLE failed)
        if(failed)
            message(FATAL_ERROR "inllama: could not ask ${CMAKE_C_COMPILER} for the macros of '${flags}'")
        endif()
        set(names
            SSE4_2=sse4_2 AVX=avx F16C=f16c FMA=fma BMI2=bmi2 AVX2=avx2 AVXVNNI=avx_vnni
            AVX512F=avx512f AVX512CD=avx512cd AVX512VL=avx512vl AVX512DQ=avx512dq AVX512BW=avx512bw
            AVX512VBMI=avx512vbmi AVX512VNNI=avx512_vnni AVX512BF16=avx512_bf16
            AMX_TILE=amx_tile AMX_INT8=amx_int8 AMX_BF16=amx_bf16
            ARM_FEATURE_FP16_VECTOR_ARITHMETIC=asimdhp ARM_FEATURE_DOTPROD=asimddp
            ARM_FEATURE_MATMUL_INT8=i8mm ARM_FEATURE_SVE=sve ARM_FEATURE_SVE2=sve2 ARM_FEATURE_SME=sme)
        foreach(pair IN LISTS names)
            string(REPLACE "=" ";" pair ${pair})
            list(GET pair 0 macro)
            list(GET pair 1 feature)
            if(macros MATCHES "#define __${macro}(__)? 1")
                list(APPEND features ${feature})
            endif()
        endforeach()
    endif()
    string(JOIN " " features ${features})
    set(${out} "${features}" PARENT_SCOPE)
endfunction()

# inllama_compile_like_ggml(<target> <source>...): compiles these with the instruction sets of ggml's CPU kernels,
# which the check at import covers.
function(inllama_compile_like_ggml target)
    get_target_property(flags ggml-cpu COMPILE_OPTIONS)
    if(flags AND CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
        list(FILTER flags INCLUDE REGEX "^-m")
        get_target_property(folder ${target} SOURCE_DIR)
        list(TRANSFORM ARGN PREPEND ${folder}/)
        set_source_files_properties(${ARGN} TARGET_DIRECTORY ${target} PROPERTIES COMPILE_OPTIONS "${flags}")
    endif()
endfunction()
