conure_fuzz(hf_index ${PROJECT_SOURCE_DIR}/fuzz/hf_index.c)
