if(TARGET conure_cli)
    conure_test(cli.plan_choose ${CMAKE_CURRENT_LIST_DIR}/plan_choose.c LIBS conure_cli)
endif()
