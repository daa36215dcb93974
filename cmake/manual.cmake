cmake_minimum_required(VERSION 3.22) # for IN_LIST
# cmake -DCONURE=<command> -DFOLDER=<where> -P manual.cmake: manual pages and completion scripts, as the
# command prints them.  Commands that this build leaves out (pull without libcurl) have no page.
set(optional pull wer export/onnx)
set(pages "" transcribe stream model model/info model/verify model/convert model/random pull bench doctor wer
    export/onnx completion help)

file(REMOVE_RECURSE ${FOLDER})
file(MAKE_DIRECTORY ${FOLDER}/man1)
foreach(page IN LISTS pages)
    string(REPLACE "/" ";" words "${page}")
    string(REPLACE "/" "-" name "conure/${page}")
    string(REGEX REPLACE "-$" "" name ${name})
    execute_process(COMMAND ${CONURE} help --man ${words} OUTPUT_VARIABLE text ERROR_VARIABLE said RESULT_VARIABLE status)
    if(status EQUAL 0)
        file(WRITE ${FOLDER}/man1/${name}.1 "${text}")
    elseif(NOT page IN_LIST optional)
        message(FATAL_ERROR "${CONURE} help --man ${words}: ${status} ${said}")
    endif()
endforeach()
foreach(shell bash zsh fish)
    execute_process(COMMAND ${CONURE} completion ${shell} OUTPUT_FILE ${FOLDER}/conure.${shell} RESULT_VARIABLE status)
    if(NOT status EQUAL 0)
        message(FATAL_ERROR "${CONURE} completion ${shell}: ${status}")
    endif()
endforeach()
