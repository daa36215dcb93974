target_sources(conure_core PRIVATE ${CMAKE_CURRENT_LIST_DIR}/recognizer.c ${CMAKE_CURRENT_LIST_DIR}/random.c ${CMAKE_CURRENT_LIST_DIR}/result.c)
target_sources(conure_core PRIVATE ${CMAKE_CURRENT_LIST_DIR}/endpoint.c)
