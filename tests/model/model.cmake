conure_test(model.panels ${CMAKE_CURRENT_LIST_DIR}/panels.c)
