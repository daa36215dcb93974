target_sources(conure_core PRIVATE
    ${CMAKE_CURRENT_LIST_DIR}/engine.c
    ${CMAKE_CURRENT_LIST_DIR}/native.c
    ${CMAKE_CURRENT_LIST_DIR}/reference/attention.c
    ${CMAKE_CURRENT_LIST_DIR}/reference/decoder.c
    ${CMAKE_CURRENT_LIST_DIR}/reference/front.c
    ${CMAKE_CURRENT_LIST_DIR}/reference/layer.c
    ${CMAKE_CURRENT_LIST_DIR}/reference/product.c
    ${CMAKE_CURRENT_LIST_DIR}/reference/range.c
    ${CMAKE_CURRENT_LIST_DIR}/reference/reference.c
    ${CMAKE_CURRENT_LIST_DIR}/reference/state.c
    ${CMAKE_CURRENT_LIST_DIR}/reference/weights.c)
# The inner loop of its products: gcc 12 makes wide instructions of it with -O3 only.
set_source_files_properties(${CMAKE_CURRENT_LIST_DIR}/reference/product.c PROPERTIES COMPILE_OPTIONS $<$<CONFIG:Release>:-O3>)

# ONNX Runtime: its library is opened at run time, the graphs are those of src/onnx.
if(CONURE_ONNX)
    target_sources(conure_core PRIVATE
        ${CMAKE_CURRENT_LIST_DIR}/ort/decoder.c
        ${CMAKE_CURRENT_LIST_DIR}/ort/encode.c
        ${CMAKE_CURRENT_LIST_DIR}/ort/encoder.c
        ${CMAKE_CURRENT_LIST_DIR}/ort/engine.c
        ${CMAKE_CURRENT_LIST_DIR}/ort/foreign.c
        ${CMAKE_CURRENT_LIST_DIR}/ort/library.c
        ${CMAKE_CURRENT_LIST_DIR}/ort/provider.c
        ${CMAKE_CURRENT_LIST_DIR}/ort/session.c
        ${CMAKE_CURRENT_LIST_DIR}/ort/state.c
        ${CMAKE_CURRENT_LIST_DIR}/ort/tensor.c
        ${CMAKE_CURRENT_LIST_DIR}/ort/watch.c)
endif()
