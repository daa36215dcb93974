conure_test(words ${CMAKE_CURRENT_LIST_DIR}/words.c)
conure_test(words_shared ${CMAKE_CURRENT_LIST_DIR}/words_shared.c ${PROJECT_SOURCE_DIR}/tests/golden.c LABELS shared)
