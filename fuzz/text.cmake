conure_fuzz(sentencepiece ${PROJECT_SOURCE_DIR}/fuzz/sentencepiece.c)
conure_fuzz(tokenizer_json ${PROJECT_SOURCE_DIR}/fuzz/tokenizer_json.c)
conure_fuzz(tokenizer_dump ${PROJECT_SOURCE_DIR}/fuzz/tokenizer_dump.c)
