# The row operations of the CPU backend and their kernels.
target_sources(conure_core PRIVATE
    ${CMAKE_CURRENT_LIST_DIR}/attention.c
    ${CMAKE_CURRENT_LIST_DIR}/attention_plan.c
    ${CMAKE_CURRENT_LIST_DIR}/cell.c
    ${CMAKE_CURRENT_LIST_DIR}/conv.c
    ${CMAKE_CURRENT_LIST_DIR}/norm.c
    ${CMAKE_CURRENT_LIST_DIR}/rows_c.c
    ${CMAKE_CURRENT_LIST_DIR}/rows_choose.c
    ${CMAKE_CURRENT_LIST_DIR}/subsample.c)
