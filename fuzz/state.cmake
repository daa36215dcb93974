conure_fuzz(state ${PROJECT_SOURCE_DIR}/fuzz/state.c)
