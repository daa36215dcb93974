conure_fuzz(live_text ${PROJECT_SOURCE_DIR}/fuzz/live_text.c)
conure_fuzz(hotwords ${PROJECT_SOURCE_DIR}/fuzz/hotwords.c)
foreach(target replay_live_text fuzz_live_text replay_hotwords fuzz_hotwords)
    if(TARGET ${target})
        target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/tests) # the synthetic vocabulary
    endif()
endforeach()
