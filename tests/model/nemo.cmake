conure_test(model.nemo_files ${CMAKE_CURRENT_LIST_DIR}/nemo_files.c)
add_test(NAME model.nemo_files.shared COMMAND test_model.nemo_files shared)
set_tests_properties(model.nemo_files.shared PROPERTIES LABELS shared SKIP_RETURN_CODE 77 TIMEOUT 300)
