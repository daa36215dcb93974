conure_test(backend_rows ${CMAKE_CURRENT_LIST_DIR}/rows_kernels.c)
conure_test(backend_row_ops ${CMAKE_CURRENT_LIST_DIR}/rows_ops.c)
conure_test(backend_attention ${CMAKE_CURRENT_LIST_DIR}/attention.c)
