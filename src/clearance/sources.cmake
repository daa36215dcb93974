# What proves an engine: references, parity, tolerances.  A library of its own beside the core, so that an embedder of the core
# carries none of it.
add_library(conure_clearance STATIC
    ${CMAKE_CURRENT_LIST_DIR}/candidate.c
    ${CMAKE_CURRENT_LIST_DIR}/candidate_engine.c
    ${CMAKE_CURRENT_LIST_DIR}/candidate_exec.c
    ${CMAKE_CURRENT_LIST_DIR}/chunk.c
    ${CMAKE_CURRENT_LIST_DIR}/features.c
    ${CMAKE_CURRENT_LIST_DIR}/live.c
    ${CMAKE_CURRENT_LIST_DIR}/noise_floor.c
    ${CMAKE_CURRENT_LIST_DIR}/record.c
    ${CMAKE_CURRENT_LIST_DIR}/reference_read.c
    ${CMAKE_CURRENT_LIST_DIR}/reference_write.c
    ${CMAKE_CURRENT_LIST_DIR}/serve.c)
target_link_libraries(conure_clearance PUBLIC conure_private)
