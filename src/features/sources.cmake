target_sources(conure_core PRIVATE ${CMAKE_CURRENT_LIST_DIR}/filterbank.c ${CMAKE_CURRENT_LIST_DIR}/mel.c)
