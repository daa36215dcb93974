# Audio files are the command's business, not the core's: a library of its own.
set(CONURE_AUDIO_COMMON ${CMAKE_CURRENT_LIST_DIR}/audio.c ${CMAKE_CURRENT_LIST_DIR}/bytes.c
    ${CMAKE_CURRENT_LIST_DIR}/container.c ${CMAKE_CURRENT_LIST_DIR}/container_chunks.c
    ${CMAKE_CURRENT_LIST_DIR}/container_flac.c ${CMAKE_CURRENT_LIST_DIR}/container_ogg.c
    ${CMAKE_CURRENT_LIST_DIR}/container_mp3.c ${CMAKE_CURRENT_LIST_DIR}/mp3_side.c
    ${CMAKE_CURRENT_LIST_DIR}/mp3_codes.c
    ${CMAKE_CURRENT_LIST_DIR}/decoder.c ${CMAKE_CURRENT_LIST_DIR}/decoder_pcm.c
    ${CMAKE_CURRENT_LIST_DIR}/wav_header.c ${CMAKE_CURRENT_LIST_DIR}/load.c CACHE INTERNAL "")
set(CONURE_AUDIO_LIBRARY ${CMAKE_CURRENT_LIST_DIR}/decoder_sndfile.c ${CMAKE_CURRENT_LIST_DIR}/rate_soxr.c)
set(CONURE_AUDIO_PLAIN ${CMAKE_CURRENT_LIST_DIR}/decoder_plain.c ${CMAKE_CURRENT_LIST_DIR}/rate_own.c CACHE INTERNAL "")
if(CONURE_AUDIO_LIBRARIES)
    add_library(conure_audio STATIC ${CONURE_AUDIO_COMMON} ${CONURE_AUDIO_LIBRARY})
    target_link_libraries(conure_audio PUBLIC conure_private PRIVATE PkgConfig::SNDFILE PkgConfig::SOXR PkgConfig::NETTLE m)
elseif(CONURE_AUDIO)
    add_library(conure_audio STATIC ${CONURE_AUDIO_COMMON} ${CONURE_AUDIO_PLAIN})
    target_link_libraries(conure_audio PUBLIC conure_private PRIVATE PkgConfig::NETTLE m)
endif()
