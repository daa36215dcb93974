# bench_row_ops: attention and the other row operations.
add_executable(bench_row_ops ${CMAKE_CURRENT_LIST_DIR}/row_ops.c)
target_link_libraries(bench_row_ops PRIVATE conure_private)
