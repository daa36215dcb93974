# Long recordings.  Python's standard library has no FLAC: the driver reads and writes it.
if(TARGET conure AND CONURE_PYTHON)
    add_executable(audio_driver ${CMAKE_CURRENT_LIST_DIR}/audio_driver.c)
    target_link_libraries(audio_driver PRIVATE conure_audio PkgConfig::SNDFILE)
    foreach(part long hours)
        add_test(NAME cli.${part} COMMAND ${CONURE_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/${part}.py $<TARGET_FILE:conure>
            ${PROJECT_SOURCE_DIR} $<TARGET_FILE:audio_driver> WORKING_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR})
    endforeach()
    set_tests_properties(cli.long PROPERTIES LABELS quick SKIP_RETURN_CODE 77 TIMEOUT 900)
    set_tests_properties(cli.hours PROPERTIES LABELS long SKIP_RETURN_CODE 77 TIMEOUT 7200)
endif()
