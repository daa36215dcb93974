# The matrix products of the CPU backend, its kernel table and its instance.
target_sources(conure_core PRIVATE
    ${CMAKE_CURRENT_LIST_DIR}/cpu.c
    ${CMAKE_CURRENT_LIST_DIR}/gemm_c.c
    ${CMAKE_CURRENT_LIST_DIR}/gemm_choose.c
    ${CMAKE_CURRENT_LIST_DIR}/kernels.c
    ${CMAKE_CURRENT_LIST_DIR}/linear.c
    ${CMAKE_CURRENT_LIST_DIR}/weight.c)

# Files with instructions that not every processor has: each with its own flags, none called unless
# conure_cpu_features() found them.  -O3: the register blocks must be unrolled whole; under a sanitizer
# that would take minutes (unroll.h).
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
    set(effort -O3)
    if(CONURE_SANITIZE)
        set(effort -O1)
    endif()
    set(avx2 -mavx2 -mfma)
    set(avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma)
    foreach(entry
            "gemm_avx2.c ${avx2}" "gemm_avx2_bf16.c ${avx2}" "gemm_avx2_int8.c ${avx2}"
            "gemm_rows_avx2.c ${avx2}" "gemm_avxvnni.c ${avx2} -mavxvnni"
            "gemm_avx512.c ${avx512}" "gemm_rows_avx512.c ${avx512}"
            "gemm_vnni.c ${avx512} -mavx512vnni" "gemm_bf16.c ${avx512} -mavx512bf16"
            "gemm_amx_int8.c ${avx512} -mamx-tile -mamx-int8"
            "gemm_amx_bf16.c ${avx512} -mamx-tile -mamx-bf16")
        string(REGEX MATCHALL "[^ ;]+" words "${entry}")
        list(POP_FRONT words file)
        target_sources(conure_core PRIVATE ${CMAKE_CURRENT_LIST_DIR}/${file})
        set_source_files_properties(${CMAKE_CURRENT_LIST_DIR}/${file} PROPERTIES COMPILE_OPTIONS "${effort};${words}")
    endforeach()
endif()
