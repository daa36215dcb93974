# Checkpoints as ONNX graphs.  The format is read from Debian's onnx.proto; protobuf-c
# makes the code when this is built.
if(CONURE_ONNX)
    find_file(CONURE_ONNX_PROTO onnx/onnx.proto PATHS /usr/include /usr/local/include)
    if(NOT CONURE_ONNX_PROTO)
        message(FATAL_ERROR "onnx/onnx.proto is not there: install libonnx-dev, or configure with -DCONURE_ONNX=OFF")
    endif()
    get_filename_component(onnx_proto_folder ${CONURE_ONNX_PROTO} DIRECTORY)
    set(onnx_c ${CMAKE_CURRENT_BINARY_DIR}/onnx/onnx.pb-c.c)
    set(onnx_h ${CMAKE_CURRENT_BINARY_DIR}/onnx/onnx.pb-c.h)
    file(MAKE_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/onnx)
    add_custom_command(
        OUTPUT ${onnx_c} ${onnx_h}
        COMMAND ${CONURE_PROTOC_C} --c_out=${CMAKE_CURRENT_BINARY_DIR}/onnx --proto_path=${onnx_proto_folder} ${CONURE_ONNX_PROTO}
        COMMAND ${CMAKE_COMMAND} -DHEADER=${onnx_h} -DPACKAGE=onnx__ -P ${PROJECT_SOURCE_DIR}/cmake/prefix_protobuf.cmake
        DEPENDS ${CONURE_ONNX_PROTO} ${PROJECT_SOURCE_DIR}/cmake/prefix_protobuf.cmake
        VERBATIM)
    set_source_files_properties(${onnx_c} PROPERTIES GENERATED TRUE COMPILE_OPTIONS "-w") # not ours to tidy
    target_compile_definitions(conure_core PUBLIC CONURE_HAVE_ONNX=1)
    target_sources(conure_core PRIVATE
        ${onnx_c}
        ${onnx_h}
        ${CMAKE_CURRENT_LIST_DIR}/attention.c
        ${CMAKE_CURRENT_LIST_DIR}/caches.c
        ${CMAKE_CURRENT_LIST_DIR}/constants.c
        ${CMAKE_CURRENT_LIST_DIR}/decoder.c
        ${CMAKE_CURRENT_LIST_DIR}/encoder.c
        ${CMAKE_CURRENT_LIST_DIR}/export.c
        ${CMAKE_CURRENT_LIST_DIR}/features.c
        ${CMAKE_CURRENT_LIST_DIR}/graph.c
        ${CMAKE_CURRENT_LIST_DIR}/histogram.c
        ${CMAKE_CURRENT_LIST_DIR}/layer.c
        ${CMAKE_CURRENT_LIST_DIR}/masks.c
        ${CMAKE_CURRENT_LIST_DIR}/memory.c
        ${CMAKE_CURRENT_LIST_DIR}/nodes.c
        ${CMAKE_CURRENT_LIST_DIR}/observe.c
        ${CMAKE_CURRENT_LIST_DIR}/ranges.c
        ${CMAKE_CURRENT_LIST_DIR}/subsampling.c
        ${CMAKE_CURRENT_LIST_DIR}/weights.c
        ${CMAKE_CURRENT_LIST_DIR}/write.c)
    # Loops over every weight: worth the vectoriser's full effort (-O2 gives up early in gcc 12).
    set_source_files_properties(${CMAKE_CURRENT_LIST_DIR}/observe.c ${CMAKE_CURRENT_LIST_DIR}/weights.c PROPERTIES COMPILE_OPTIONS $<$<CONFIG:Release>:-O3>)
endif()
