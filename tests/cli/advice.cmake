if(TARGET conure_cli)
    conure_test(cli.advice ${CMAKE_CURRENT_LIST_DIR}/advice.c ${CMAKE_CURRENT_LIST_DIR}/../engine/trt_host.c ${CONURE_TRT_SOURCES} LIBS conure_cli)
endif()
