foreach(file recognizer random result window schedule events session_options session step publish scheduler snapshot endpoint watch)
    target_sources(conure_core PRIVATE ${CMAKE_CURRENT_LIST_DIR}/${file}.c)
endforeach()
