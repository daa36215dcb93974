target_sources(conure_core PRIVATE ${CMAKE_CURRENT_LIST_DIR}/filterbank.c ${CMAKE_CURRENT_LIST_DIR}/mel.c ${CMAKE_CURRENT_LIST_DIR}/running.c
    ${CMAKE_CURRENT_LIST_DIR}/resample.c)

# Sums of products in sixteen lanes: gcc 12 vectorises them with -O3 only.
set_source_files_properties(${CMAKE_CURRENT_LIST_DIR}/resample.c PROPERTIES COMPILE_OPTIONS $<$<CONFIG:Release>:-O3>)
