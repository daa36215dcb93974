# The tokenizer.  SentencePiece's format is read by code that protobuf-c generates from our excerpt of it.
find_program(CONURE_PROTOC_C NAMES protoc-c REQUIRED)
set(sentencepiece_c ${CMAKE_CURRENT_BINARY_DIR}/model/sentencepiece.pb-c.c)
set(sentencepiece_h ${CMAKE_CURRENT_BINARY_DIR}/model/sentencepiece.pb-c.h)
file(MAKE_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/model)
add_custom_command(
    OUTPUT ${sentencepiece_c} ${sentencepiece_h}
    COMMAND ${CONURE_PROTOC_C} --c_out=${CMAKE_CURRENT_BINARY_DIR}/model --proto_path=${CMAKE_CURRENT_LIST_DIR}
            ${CMAKE_CURRENT_LIST_DIR}/sentencepiece.proto
    DEPENDS ${CMAKE_CURRENT_LIST_DIR}/sentencepiece.proto
    VERBATIM)
set_source_files_properties(${sentencepiece_c} PROPERTIES GENERATED TRUE COMPILE_OPTIONS "-w") # not ours to tidy
target_sources(conure_core PRIVATE
    ${sentencepiece_c}
    ${sentencepiece_h}
    ${CMAKE_CURRENT_LIST_DIR}/tokenizer.c
    ${CMAKE_CURRENT_LIST_DIR}/tokenizer_dump.c
    ${CMAKE_CURRENT_LIST_DIR}/tokenizer_json.c
    ${CMAKE_CURRENT_LIST_DIR}/tokenizer_sentencepiece.c
    ${CMAKE_CURRENT_LIST_DIR}/tokenizer_spell.c)
