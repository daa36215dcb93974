if(TARGET conure_cli AND CONURE_ONNX)
    conure_test(cli.plan_build ${CMAKE_CURRENT_LIST_DIR}/plan_build.c ${CMAKE_CURRENT_LIST_DIR}/../engine/trt_host.c
        ${PROJECT_SOURCE_DIR}/src/cli/plan_build.c LIBS conure_cli)
endif()
