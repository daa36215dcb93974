# The command conure.  wer_sources.cmake appends the comparison of transcripts; src/audio gives conure_audio.
if(NOT CONURE_AUDIO)
    message(STATUS "CONURE_AUDIO is off: the command, which reads audio files, is not built")
    return()
endif()
set(CONURE_CLI_SOURCES
    ${CMAKE_CURRENT_LIST_DIR}/bench.c
    ${CMAKE_CURRENT_LIST_DIR}/bench_print.c
    ${CMAKE_CURRENT_LIST_DIR}/bench_stream.c
    ${CMAKE_CURRENT_LIST_DIR}/bench_stream_print.c
    ${CMAKE_CURRENT_LIST_DIR}/captions.c
    ${CMAKE_CURRENT_LIST_DIR}/clearance.c
    ${CMAKE_CURRENT_LIST_DIR}/command_bench.c
    ${CMAKE_CURRENT_LIST_DIR}/command_candidate.c
    ${CMAKE_CURRENT_LIST_DIR}/command_completion.c
    ${CMAKE_CURRENT_LIST_DIR}/command_contract.c
    ${CMAKE_CURRENT_LIST_DIR}/command_diagnose.c
    ${CMAKE_CURRENT_LIST_DIR}/command_doctor.c
    ${CMAKE_CURRENT_LIST_DIR}/command_engine.c
    ${CMAKE_CURRENT_LIST_DIR}/command_help.c
    ${CMAKE_CURRENT_LIST_DIR}/command_model.c
    ${CMAKE_CURRENT_LIST_DIR}/command_noise_floor.c
    ${CMAKE_CURRENT_LIST_DIR}/command_parity.c
    ${CMAKE_CURRENT_LIST_DIR}/command_reference.c
    ${CMAKE_CURRENT_LIST_DIR}/command_stream.c
    ${CMAKE_CURRENT_LIST_DIR}/command_transcribe.c
    ${CMAKE_CURRENT_LIST_DIR}/commands.c
    ${CMAKE_CURRENT_LIST_DIR}/comparison.c
    ${CMAKE_CURRENT_LIST_DIR}/completion.c
    ${CMAKE_CURRENT_LIST_DIR}/contract_print.c
    ${CMAKE_CURRENT_LIST_DIR}/crowd.c
    ${CMAKE_CURRENT_LIST_DIR}/doctor.c
    ${CMAKE_CURRENT_LIST_DIR}/embedded.c
    ${CMAKE_CURRENT_LIST_DIR}/engine_time.c
    ${CMAKE_CURRENT_LIST_DIR}/engines.c
    ${CMAKE_CURRENT_LIST_DIR}/hotwords.c
    ${CMAKE_CURRENT_LIST_DIR}/flops.c
    ${CMAKE_CURRENT_LIST_DIR}/help.c
    ${CMAKE_CURRENT_LIST_DIR}/json_values.c
    ${CMAKE_CURRENT_LIST_DIR}/known.c
    ${CMAKE_CURRENT_LIST_DIR}/manual.c
    ${CMAKE_CURRENT_LIST_DIR}/models.c
    ${CMAKE_CURRENT_LIST_DIR}/options.c
    ${CMAKE_CURRENT_LIST_DIR}/measure.c
    ${CMAKE_CURRENT_LIST_DIR}/output.c
    ${CMAKE_CURRENT_LIST_DIR}/output_cues.c
    ${CMAKE_CURRENT_LIST_DIR}/output_json.c
    ${CMAKE_CURRENT_LIST_DIR}/output_text.c
    ${CMAKE_CURRENT_LIST_DIR}/parity_audio.c
    ${CMAKE_CURRENT_LIST_DIR}/peak.c
    ${CMAKE_CURRENT_LIST_DIR}/plan_choose.c
    ${CMAKE_CURRENT_LIST_DIR}/sink.c
    ${CMAKE_CURRENT_LIST_DIR}/sink_check.c
    ${CMAKE_CURRENT_LIST_DIR}/stream.c
    ${CMAKE_CURRENT_LIST_DIR}/stream_json.c
    ${CMAKE_CURRENT_LIST_DIR}/stream_text.c
    ${CMAKE_CURRENT_LIST_DIR}/clear_audio.c
    ${CMAKE_CURRENT_LIST_DIR}/clear_config.c
    ${CMAKE_CURRENT_LIST_DIR}/clear_folder.c
    ${CMAKE_CURRENT_LIST_DIR}/clear_print.c
    ${CMAKE_CURRENT_LIST_DIR}/cleared.c
    ${CMAKE_CURRENT_LIST_DIR}/command_clear.c
    ${CMAKE_CURRENT_LIST_DIR}/terminal.c
    ${CMAKE_CURRENT_LIST_DIR}/transcribe.c
    ${CMAKE_CURRENT_LIST_DIR}/transcribe_long.c)
set(CONURE_CLI_DEFINITIONS)
include(${CMAKE_CURRENT_LIST_DIR}/wer_sources.cmake OPTIONAL RESULT_VARIABLE wer_found)
if(wer_found)
    list(APPEND CONURE_CLI_DEFINITIONS CONURE_HAVE_WER=1)
endif()
if(CONURE_PULL)
    list(APPEND CONURE_CLI_SOURCES ${CMAKE_CURRENT_LIST_DIR}/command_pull.c ${CMAKE_CURRENT_LIST_DIR}/pull.c
        ${CMAKE_CURRENT_LIST_DIR}/pull_headers.c ${CMAKE_CURRENT_LIST_DIR}/pull_http.c)
    list(APPEND CONURE_CLI_DEFINITIONS CONURE_HAVE_CURL=1)
endif()
if(CONURE_ONNX)
    list(APPEND CONURE_CLI_SOURCES ${CMAKE_CURRENT_LIST_DIR}/command_export.c ${CMAKE_CURRENT_LIST_DIR}/speech.c)
endif()
if(CONURE_ONNX AND CONURE_TENSORRT_INCLUDE)
    list(APPEND CONURE_CLI_SOURCES ${CMAKE_CURRENT_LIST_DIR}/plan_build.c)
    list(APPEND CONURE_CLI_DEFINITIONS CONURE_HAVE_PLANS=1)
endif()

# A plain clone carries the model that the program embeds; without the file it is built without one.
set(packed_model ${PROJECT_SOURCE_DIR}/models/embedded.conure.gz)
set(unpacked_model ${PROJECT_BINARY_DIR}/models/embedded.conure)
if(EXISTS ${packed_model})
    conure_unpack(${packed_model} ${unpacked_model})
endif()
set(CONURE_EMBEDDED_MODEL ${unpacked_model} CACHE FILEPATH "Model to embed; empty: none")
set(CONURE_CLIP ${PROJECT_SOURCE_DIR}/tests/data/audio/librispeech_e29030942b.flac)
set(embedded_depends ${CONURE_CLIP})
set(embedded_definitions "CONURE_CLIP_FILE=\"${CONURE_CLIP}\"")
if(CONURE_EMBEDDED_MODEL AND EXISTS ${CONURE_EMBEDDED_MODEL})
    list(APPEND embedded_depends ${CONURE_EMBEDDED_MODEL})
    list(APPEND embedded_definitions CONURE_HAVE_EMBEDDED=1 "CONURE_EMBEDDED_FILE=\"${CONURE_EMBEDDED_MODEL}\"")
endif()
set(golden ${CONURE_TEST_DATA}/golden/embedded.safetensors)
if(EXISTS ${golden})
    list(APPEND embedded_depends ${golden})
    list(APPEND embedded_definitions "CONURE_GOLDEN_FILE=\"${golden}\"")
endif()
set_source_files_properties(${CMAKE_CURRENT_LIST_DIR}/embedded.c PROPERTIES OBJECT_DEPENDS "${embedded_depends}"
    COMPILE_DEFINITIONS "${embedded_definitions}")

# What bench and doctor say about the program: the commit, known when it was configured.
execute_process(COMMAND git -C ${PROJECT_SOURCE_DIR} describe --always --dirty --exclude=* OUTPUT_VARIABLE commit
    OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE no_commit)
if(no_commit)
    set(commit unknown)
else()
    execute_process(COMMAND git -C ${PROJECT_SOURCE_DIR} rev-parse --path-format=absolute --git-path logs/HEAD
        OUTPUT_VARIABLE git_log OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    if(EXISTS "${git_log}")
        set_property(DIRECTORY ${PROJECT_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${git_log}")
    endif()
endif()
set_source_files_properties(${CMAKE_CURRENT_LIST_DIR}/measure.c PROPERTIES COMPILE_DEFINITIONS
    "CONURE_COMMIT=\"${commit}\";CONURE_BUILD=\"${CMAKE_C_COMPILER_ID} ${CMAKE_C_COMPILER_VERSION}, ${CMAKE_BUILD_TYPE}\"")

# Everything but main(), so that tests can link it.
list(REMOVE_DUPLICATES CONURE_CLI_SOURCES)
add_library(conure_cli STATIC ${CONURE_CLI_SOURCES})
target_compile_definitions(conure_cli PUBLIC ${CONURE_CLI_DEFINITIONS})
target_link_libraries(conure_cli PUBLIC conure_private conure_clearance conure_audio)
if(CONURE_PULL)
    target_link_libraries(conure_cli PUBLIC PkgConfig::CURL)
endif()

if(CONURE_COMMAND)
    add_executable(conure ${CMAKE_CURRENT_LIST_DIR}/main.c)
    target_link_libraries(conure PRIVATE conure_cli)
    set_target_properties(conure PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
endif()
