target_sources(conure_core PRIVATE ${CMAKE_CURRENT_LIST_DIR}/words.c ${CMAKE_CURRENT_LIST_DIR}/live_text.c
    ${CMAKE_CURRENT_LIST_DIR}/hotwords.c ${CMAKE_CURRENT_LIST_DIR}/hotwords_read.c ${CMAKE_CURRENT_LIST_DIR}/trial.c)
