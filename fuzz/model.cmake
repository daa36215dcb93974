conure_fuzz(safetensors ${PROJECT_SOURCE_DIR}/fuzz/safetensors.c)
conure_fuzz(hf_config ${PROJECT_SOURCE_DIR}/fuzz/hf_config.c)
conure_fuzz(converted ${PROJECT_SOURCE_DIR}/fuzz/converted.c)
conure_fuzz(onnx_file ${PROJECT_SOURCE_DIR}/fuzz/onnx_file.c)
