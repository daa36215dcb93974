# The matrix products of the CPU backend and their kernels.
target_sources(conure_core PRIVATE
    ${CMAKE_CURRENT_LIST_DIR}/gemm_choose.c
    ${CMAKE_CURRENT_LIST_DIR}/kernels.c)
