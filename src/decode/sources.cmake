target_sources(conure_core PRIVATE ${CMAKE_CURRENT_LIST_DIR}/tdt.c)
include(${CMAKE_CURRENT_LIST_DIR}/words_sources.cmake OPTIONAL)
