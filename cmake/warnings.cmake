# inllama_warnings(target): strict warnings as errors on our own targets; vendor headers are SYSTEM.
function(inllama_warnings target)
    if(MSVC)
        target_compile_options(${target} PRIVATE /W4)
    else()
        target_compile_options(${target} PRIVATE -Wall -Wextra -Wconversion -Wshadow)
        if(INLLAMA_TESTS)
            # A newer compiler's new warning must not stop a user's installation, only ours.
            target_compile_options(${target} PRIVATE -Werror)
        endif()
    endif()
endfunction()
