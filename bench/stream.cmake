# bench_stream_steps: the encoder's steps of cache-aware streaming.
add_executable(bench_stream_steps ${CMAKE_CURRENT_LIST_DIR}/stream_steps.c)
target_link_libraries(bench_stream_steps PRIVATE conure_private)
