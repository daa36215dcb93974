conure_test(model.panels ${CMAKE_CURRENT_LIST_DIR}/panels.c)
conure_test(model.config ${CMAKE_CURRENT_LIST_DIR}/config.c)
conure_test(model.files ${CMAKE_CURRENT_LIST_DIR}/files.c)
conure_test(model.shared ${CMAKE_CURRENT_LIST_DIR}/model_shared.c LABELS shared)
conure_test(model.no_memory ${CMAKE_CURRENT_LIST_DIR}/no_memory.c LIBS
    -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=aligned_alloc,--wrap=posix_memalign)
