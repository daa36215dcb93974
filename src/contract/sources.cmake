target_sources(conure_core PRIVATE
    ${CMAKE_CURRENT_LIST_DIR}/assertions.c
    ${CMAKE_CURRENT_LIST_DIR}/derive.c
    ${CMAKE_CURRENT_LIST_DIR}/metrics.c
    ${CMAKE_CURRENT_LIST_DIR}/read.c
    ${CMAKE_CURRENT_LIST_DIR}/rules.c
    ${CMAKE_CURRENT_LIST_DIR}/schema.c
    ${CMAKE_CURRENT_LIST_DIR}/valid.c
    ${CMAKE_CURRENT_LIST_DIR}/write.c)
# The schema is part of the program: what it validates against is what it ships.
set(schema ${PROJECT_SOURCE_DIR}/contracts/encoder_streaming.schema.json)
set_source_files_properties(${CMAKE_CURRENT_LIST_DIR}/read.c PROPERTIES OBJECT_DEPENDS ${schema}
    COMPILE_DEFINITIONS "CONURE_CONTRACT_SCHEMA_FILE=\"${schema}\"")

# One pass over every frame that comes out, on each step: gcc 12 makes wide instructions of it with -O3 only.
set_source_files_properties(${CMAKE_CURRENT_LIST_DIR}/assertions.c PROPERTIES COMPILE_OPTIONS $<$<CONFIG:Release>:-O3>)
