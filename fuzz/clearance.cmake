conure_fuzz(answer ${PROJECT_SOURCE_DIR}/fuzz/answer.c conure_clearance)
