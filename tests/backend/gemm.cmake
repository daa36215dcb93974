conure_test(backend_gemm ${CMAKE_CURRENT_LIST_DIR}/gemm_kernels.c
    ${CMAKE_CURRENT_LIST_DIR}/gemm_tiles_bf16.c ${CMAKE_CURRENT_LIST_DIR}/gemm_tiles_int8.c)
conure_test(backend_gemm_rows ${CMAKE_CURRENT_LIST_DIR}/gemm_rows.c)
conure_test(backend_linear ${CMAKE_CURRENT_LIST_DIR}/gemm_linear.c)
conure_test(backend_weight ${CMAKE_CURRENT_LIST_DIR}/gemm_weight.c)
