list(APPEND CONURE_CLI_SOURCES
    ${CMAKE_CURRENT_LIST_DIR}/command_wer.c
    ${CMAKE_CURRENT_LIST_DIR}/wer.c
    ${CMAKE_CURRENT_LIST_DIR}/wer_input.c
    ${CMAKE_CURRENT_LIST_DIR}/wer_report.c
    ${CMAKE_CURRENT_LIST_DIR}/wer_text.c)
