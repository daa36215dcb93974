# bench_gemm; beside oneDNN where it is installed.  The product never links it.
add_executable(bench_gemm ${CMAKE_CURRENT_LIST_DIR}/gemm.c ${CMAKE_CURRENT_LIST_DIR}/gemm_peak.c
    ${CMAKE_CURRENT_LIST_DIR}/gemm_dnnl.c)
target_link_libraries(bench_gemm PRIVATE conure_private)
find_library(CONURE_DNNL dnnl)
find_path(CONURE_DNNL_INCLUDE dnnl.h)
find_library(CONURE_GOMP NAMES gomp libgomp.so.1)
if(CONURE_DNNL AND CONURE_DNNL_INCLUDE AND CONURE_GOMP)
    target_compile_definitions(bench_gemm PRIVATE CONURE_BENCH_DNNL)
    target_include_directories(bench_gemm PRIVATE ${CONURE_DNNL_INCLUDE})
    target_link_libraries(bench_gemm PRIVATE ${CONURE_DNNL} ${CONURE_GOMP})
endif()
