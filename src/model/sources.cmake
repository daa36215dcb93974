target_sources(conure_core PRIVATE
    ${CMAKE_CURRENT_LIST_DIR}/blocks.c
    ${CMAKE_CURRENT_LIST_DIR}/config.c
    ${CMAKE_CURRENT_LIST_DIR}/convert.c
    ${CMAKE_CURRENT_LIST_DIR}/converted.c
    ${CMAKE_CURRENT_LIST_DIR}/finish.c
    ${CMAKE_CURRENT_LIST_DIR}/graphs.c
    ${CMAKE_CURRENT_LIST_DIR}/graphs_files.c
    ${CMAKE_CURRENT_LIST_DIR}/graphs_said.c
    ${CMAKE_CURRENT_LIST_DIR}/hash.c
    ${CMAKE_CURRENT_LIST_DIR}/hf_config.c
    ${CMAKE_CURRENT_LIST_DIR}/huggingface.c
    ${CMAKE_CURRENT_LIST_DIR}/json.c
    ${CMAKE_CURRENT_LIST_DIR}/model.c
    ${CMAKE_CURRENT_LIST_DIR}/onnx_file.c
    ${CMAKE_CURRENT_LIST_DIR}/panels.c
    ${CMAKE_CURRENT_LIST_DIR}/random.c
    ${CMAKE_CURRENT_LIST_DIR}/safetensors.c
    ${CMAKE_CURRENT_LIST_DIR}/spec.c
    ${CMAKE_CURRENT_LIST_DIR}/tensor.c
    ${CMAKE_CURRENT_LIST_DIR}/verify.c)
include(${CMAKE_CURRENT_LIST_DIR}/nemo_sources.cmake OPTIONAL)
include(${CMAKE_CURRENT_LIST_DIR}/text_sources.cmake OPTIONAL)

# Loops over every weight: worth the vectoriser's full effort (-O2 gives up early in gcc 12).
set_source_files_properties(${CMAKE_CURRENT_LIST_DIR}/finish.c ${CMAKE_CURRENT_LIST_DIR}/panels.c
    ${CMAKE_CURRENT_LIST_DIR}/tensor.c PROPERTIES COMPILE_OPTIONS $<$<CONFIG:Release>:-O3>)
