conure_test(tokenizer ${CMAKE_CURRENT_LIST_DIR}/tokenizer.c)
conure_test(tokenizer_files ${CMAKE_CURRENT_LIST_DIR}/tokenizer_files.c)
conure_test(tokenizer_shared ${CMAKE_CURRENT_LIST_DIR}/tokenizer_shared.c ${PROJECT_SOURCE_DIR}/tests/golden.c LABELS shared)
