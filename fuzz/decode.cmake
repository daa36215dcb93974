conure_fuzz(live_text ${PROJECT_SOURCE_DIR}/fuzz/live_text.c)
foreach(target replay_live_text fuzz_live_text)
    if(TARGET ${target})
        target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/tests) # the synthetic vocabulary
    endif()
endforeach()
