conure_fuzz(plan_side ${PROJECT_SOURCE_DIR}/fuzz/plan_side.c)
