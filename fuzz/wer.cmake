if(TARGET conure_cli)
    conure_fuzz(wer_input ${PROJECT_SOURCE_DIR}/fuzz/wer_input.c conure_cli)
endif()
