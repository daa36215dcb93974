# The row operations of the CPU backend and their kernels.
target_sources(conure_core PRIVATE
    ${CMAKE_CURRENT_LIST_DIR}/attention.c
    ${CMAKE_CURRENT_LIST_DIR}/attention_plan.c
    ${CMAKE_CURRENT_LIST_DIR}/cell.c
    ${CMAKE_CURRENT_LIST_DIR}/conv.c
    ${CMAKE_CURRENT_LIST_DIR}/norm.c
    ${CMAKE_CURRENT_LIST_DIR}/rows_c.c
    ${CMAKE_CURRENT_LIST_DIR}/rows_choose.c
    ${CMAKE_CURRENT_LIST_DIR}/store.c
    ${CMAKE_CURRENT_LIST_DIR}/subsample.c)

if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
    target_sources(conure_core PRIVATE
        ${CMAKE_CURRENT_LIST_DIR}/rows_avx2.c
        ${CMAKE_CURRENT_LIST_DIR}/rows_avx512.c)
    set_source_files_properties(${CMAKE_CURRENT_LIST_DIR}/rows_avx2.c
        PROPERTIES COMPILE_OPTIONS "-mavx2;-mfma")
    set_source_files_properties(${CMAKE_CURRENT_LIST_DIR}/rows_avx512.c
        PROPERTIES COMPILE_OPTIONS "-mavx512f;-mavx512bw;-mavx512dq;-mavx512vl;-mavx2;-mfma")
endif()
