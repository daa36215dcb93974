conure_test(live_text ${CMAKE_CURRENT_LIST_DIR}/live_text.c)
