# Libraries found by pkg-config; docs/dependencies.md says why each.
pkg_check_modules(YAML REQUIRED IMPORTED_TARGET yaml-0.1)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
pkg_check_modules(NETTLE REQUIRED IMPORTED_TARGET nettle)
pkg_check_modules(UTF8PROC REQUIRED IMPORTED_TARGET libutf8proc)
pkg_check_modules(PROTOBUFC REQUIRED IMPORTED_TARGET libprotobuf-c)
pkg_check_modules(KISSFFT REQUIRED IMPORTED_TARGET kissfft-float)
# What the core links.  conure.pc.in and conureConfig.cmake.in repeat the list for static linking.
set(CONURE_CORE_LIBRARIES Threads::Threads ZLIB::ZLIB PkgConfig::YAML PkgConfig::JANSSON PkgConfig::NETTLE
    PkgConfig::UTF8PROC PkgConfig::PROTOBUFC PkgConfig::KISSFFT m)
if(CONURE_TENSORRT_INCLUDE) # TensorRT is opened at run time, by one file in C++
    set(CONURE_CXX_LIBRARIES stdc++ ${CMAKE_DL_LIBS})
    list(APPEND CONURE_CORE_LIBRARIES ${CONURE_CXX_LIBRARIES})
    list(TRANSFORM CONURE_CXX_LIBRARIES PREPEND " -l" OUTPUT_VARIABLE CONURE_PC_CXX)
    string(REPLACE ";" "" CONURE_PC_CXX "${CONURE_PC_CXX}")
endif()
if(CONURE_AUDIO_LIBRARIES)
    pkg_check_modules(SNDFILE REQUIRED IMPORTED_TARGET sndfile)
    pkg_check_modules(SOXR REQUIRED IMPORTED_TARGET soxr)
endif()
if(CONURE_PULL)
    pkg_check_modules(CURL REQUIRED IMPORTED_TARGET libcurl)
endif()
