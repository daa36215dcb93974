if(CONURE_ONNX)
    conure_fuzz(ranges ${PROJECT_SOURCE_DIR}/fuzz/ranges.c)
endif()
