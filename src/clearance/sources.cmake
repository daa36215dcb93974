# Beside the core, above contract and engine: an embedder carries none of it.
add_library(conure_clearance STATIC
    ${CMAKE_CURRENT_LIST_DIR}/noise_floor.c)
target_link_libraries(conure_clearance PUBLIC conure_private)
