# Files that are tracked packed, for the tree's limit, and unpacked when the build is configured.
function(conure_unpack packed unpacked)
    set_property(DIRECTORY ${PROJECT_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${packed})
    execute_process(COMMAND gzip -dc ${packed} OUTPUT_FILE ${unpacked}.new RESULT_VARIABLE failed)
    if(failed)
        message(FATAL_ERROR "${packed} could not be unpacked by gzip: ${failed}")
    endif()
    if(IS_SYMLINK ${unpacked}) # it was not packed when this build was configured before
        file(REMOVE ${unpacked})
    endif()
    # The time of an unchanged file stays, so that nothing is built anew.
    execute_process(COMMAND ${CMAKE_COMMAND} -E copy_if_different ${unpacked}.new ${unpacked})
    file(REMOVE ${unpacked}.new)
endfunction()

# tests/data as the tests see it.
set(CONURE_TEST_DATA ${PROJECT_BINARY_DIR}/tests/data)
file(MAKE_DIRECTORY ${CONURE_TEST_DATA}/golden ${PROJECT_BINARY_DIR}/models)
foreach(folder audio models)
    file(CREATE_LINK ${PROJECT_SOURCE_DIR}/tests/data/${folder} ${CONURE_TEST_DATA}/${folder} SYMBOLIC)
endforeach()
file(GLOB golden RELATIVE ${PROJECT_SOURCE_DIR}/tests/data/golden CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/data/golden/*)
foreach(file ${golden})
    if(file MATCHES "(.*)\\.gz$")
        conure_unpack(${PROJECT_SOURCE_DIR}/tests/data/golden/${file} ${CONURE_TEST_DATA}/golden/${CMAKE_MATCH_1})
    else()
        file(CREATE_LINK ${PROJECT_SOURCE_DIR}/tests/data/golden/${file} ${CONURE_TEST_DATA}/golden/${file} SYMBOLIC)
    endif()
endforeach()
