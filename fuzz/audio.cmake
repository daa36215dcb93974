if(TARGET conure_audio)
    conure_fuzz(audio ${PROJECT_SOURCE_DIR}/fuzz/audio.c conure_audio)
    conure_fuzz(audio_container ${PROJECT_SOURCE_DIR}/fuzz/audio_container.c conure_audio)
endif()
