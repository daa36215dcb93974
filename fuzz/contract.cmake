conure_fuzz(contract ${PROJECT_SOURCE_DIR}/fuzz/contract.c)
conure_fuzz(schema ${PROJECT_SOURCE_DIR}/fuzz/schema.c)
