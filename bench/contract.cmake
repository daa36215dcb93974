add_executable(bench_contract ${PROJECT_SOURCE_DIR}/bench/contract.c)
target_link_libraries(bench_contract PRIVATE conure_private)
