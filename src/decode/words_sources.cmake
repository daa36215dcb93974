target_sources(conure_core PRIVATE ${CMAKE_CURRENT_LIST_DIR}/words.c ${CMAKE_CURRENT_LIST_DIR}/live_text.c)
