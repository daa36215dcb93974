target_sources(conure_core PRIVATE
    ${CMAKE_CURRENT_LIST_DIR}/network.c
    ${CMAKE_CURRENT_LIST_DIR}/subsampling.c
    ${CMAKE_CURRENT_LIST_DIR}/position.c
    ${CMAKE_CURRENT_LIST_DIR}/layers.c
    ${CMAKE_CURRENT_LIST_DIR}/encode.c
    ${CMAKE_CURRENT_LIST_DIR}/state.c
    ${CMAKE_CURRENT_LIST_DIR}/cache.c
    ${CMAKE_CURRENT_LIST_DIR}/snapshot.c
    ${CMAKE_CURRENT_LIST_DIR}/predictor.c)
