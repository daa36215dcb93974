target_sources(conure_core PRIVATE
    ${CMAKE_CURRENT_LIST_DIR}/gzip.c
    ${CMAKE_CURRENT_LIST_DIR}/nemo.c
    ${CMAKE_CURRENT_LIST_DIR}/nemo_config.c
    ${CMAKE_CURRENT_LIST_DIR}/nemo_keys.c
    ${CMAKE_CURRENT_LIST_DIR}/pickle.c
    ${CMAKE_CURRENT_LIST_DIR}/quote.c
    ${CMAKE_CURRENT_LIST_DIR}/tar.c
    ${CMAKE_CURRENT_LIST_DIR}/torch_file.c
    ${CMAKE_CURRENT_LIST_DIR}/yaml.c
    ${CMAKE_CURRENT_LIST_DIR}/zip.c)
