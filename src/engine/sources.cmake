target_sources(conure_core PRIVATE
    ${CMAKE_CURRENT_LIST_DIR}/engine.c
    ${CMAKE_CURRENT_LIST_DIR}/native.c
    ${CMAKE_CURRENT_LIST_DIR}/parts.c
    ${CMAKE_CURRENT_LIST_DIR}/snapshot.c
    ${CMAKE_CURRENT_LIST_DIR}/reference/attention.c
    ${CMAKE_CURRENT_LIST_DIR}/reference/decoder.c
    ${CMAKE_CURRENT_LIST_DIR}/reference/front.c
    ${CMAKE_CURRENT_LIST_DIR}/reference/layer.c
    ${CMAKE_CURRENT_LIST_DIR}/reference/product.c
    ${CMAKE_CURRENT_LIST_DIR}/reference/range.c
    ${CMAKE_CURRENT_LIST_DIR}/reference/reference.c
    ${CMAKE_CURRENT_LIST_DIR}/reference/state.c
    ${CMAKE_CURRENT_LIST_DIR}/reference/weights.c
    ${CMAKE_CURRENT_LIST_DIR}/trt/plan.c)
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

# The engine "trt": its C parts are tested on a runtime that is not TensorRT (tests/engine), so they are listed once.
set(CONURE_TRT_SOURCES
    ${CMAKE_CURRENT_LIST_DIR}/trt/advice.c
    ${CMAKE_CURRENT_LIST_DIR}/trt/engine.c
    ${CMAKE_CURRENT_LIST_DIR}/trt/library.c
    ${CMAKE_CURRENT_LIST_DIR}/trt/state.c
    ${CMAKE_CURRENT_LIST_DIR}/trt/step.c CACHE INTERNAL "")
if(CONURE_TENSORRT_INCLUDE)
    if(NOT EXISTS ${CONURE_TENSORRT_INCLUDE}/NvInfer.h OR NOT EXISTS ${CONURE_TENSORRT_INCLUDE}/NvOnnxParser.h)
        message(FATAL_ERROR "CONURE_TENSORRT_INCLUDE=${CONURE_TENSORRT_INCLUDE}: NvInfer.h and NvOnnxParser.h are not both in this folder: name the one of "
            "TensorRT's SDK that holds them")
    endif()
    find_path(CONURE_CUDA_INCLUDE cuda.h PATHS /usr/local/cuda/include /opt/cuda/include)
    if(NOT CONURE_CUDA_INCLUDE)
        message(FATAL_ERROR "TensorRT's headers need CUDA's: name the folder of cuda.h with -DCONURE_CUDA_INCLUDE=FOLDER")
    endif()
    if(NOT EXISTS ${CONURE_CUDA_INCLUDE}/cuda.h) # a folder that was named is not looked into
        message(FATAL_ERROR "CONURE_CUDA_INCLUDE=${CONURE_CUDA_INCLUDE}: cuda.h is not in this folder: name the one of the CUDA toolkit that holds it, "
            "or have it looked for with -UCONURE_CUDA_INCLUDE")
    endif()
    enable_language(CXX)
    add_library(conure_trt_runtime OBJECT ${CMAKE_CURRENT_LIST_DIR}/trt/device.c ${CMAKE_CURRENT_LIST_DIR}/trt/runtime.cpp)
    target_include_directories(conure_trt_runtime PRIVATE ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src)
    target_include_directories(conure_trt_runtime SYSTEM PRIVATE ${CONURE_TENSORRT_INCLUDE} ${CONURE_CUDA_INCLUDE})
    target_compile_features(conure_trt_runtime PRIVATE cxx_std_17)
    target_compile_options(conure_trt_runtime PRIVATE -Wall -Wextra -Wshadow -fvisibility=hidden
        $<$<BOOL:${CONURE_WERROR}>:-Werror>)
    target_sources(conure_core PRIVATE ${CONURE_TRT_SOURCES})
    target_compile_definitions(conure_core PUBLIC CONURE_HAVE_TRT=1)
endif()
