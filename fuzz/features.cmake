conure_fuzz(resample ${PROJECT_SOURCE_DIR}/fuzz/resample.c)
