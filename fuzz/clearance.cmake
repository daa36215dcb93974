conure_fuzz(reference ${PROJECT_SOURCE_DIR}/fuzz/reference.c conure_clearance)
conure_fuzz(answer ${PROJECT_SOURCE_DIR}/fuzz/answer.c conure_clearance)
conure_fuzz(tolerance ${PROJECT_SOURCE_DIR}/fuzz/tolerance.c conure_clearance)
conure_fuzz(report ${PROJECT_SOURCE_DIR}/fuzz/report.c conure_clearance)
