conure_test(hotwords ${CMAKE_CURRENT_LIST_DIR}/hotwords.c)
