# Installing: libconure, conure.h, pkg-config file, CMake package, the command, man pages, completion.
# Nothing of it holds an absolute path, so an installed folder may be moved or staged (DESTDIR).
include(CMakePackageConfigHelpers)

set(CONURE_CMAKE_FOLDER ${CMAKE_INSTALL_LIBDIR}/cmake/conure)
install(TARGETS conure_shared EXPORT conureTargets
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS conure_static EXPORT conureStaticTargets
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES ${PROJECT_SOURCE_DIR}/include/conure.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES LICENSE NOTICE DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY contracts tolerances DESTINATION ${CMAKE_INSTALL_DATADIR}/conure FILES_MATCHING PATTERN "*.json")
install(EXPORT conureTargets NAMESPACE conure:: DESTINATION ${CONURE_CMAKE_FOLDER})
install(EXPORT conureStaticTargets NAMESPACE conure:: DESTINATION ${CONURE_CMAKE_FOLDER})

configure_package_config_file(cmake/conureConfig.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/conureConfig.cmake
    INSTALL_DESTINATION ${CONURE_CMAKE_FOLDER})
# Before 1.0 a new minor version may break the old one.
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/conureConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/conureConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/conureConfigVersion.cmake
    DESTINATION ${CONURE_CMAKE_FOLDER})

file(RELATIVE_PATH CONURE_PC_UP /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
configure_file(cmake/conure.pc.in conure.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/conure.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

if(TARGET conure)
    install(TARGETS conure RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
    # The command writes its own manual and completion scripts, so it has to run here.
    if(NOT CMAKE_CROSSCOMPILING)
        set(CONURE_MANUAL ${CMAKE_CURRENT_BINARY_DIR}/manual)
        add_custom_command(OUTPUT ${CONURE_MANUAL}/man1/conure.1
            COMMAND ${CMAKE_COMMAND} -DCONURE=$<TARGET_FILE:conure> -DFOLDER=${CONURE_MANUAL}
                    -P ${PROJECT_SOURCE_DIR}/cmake/manual.cmake
            DEPENDS conure ${PROJECT_SOURCE_DIR}/cmake/manual.cmake
            COMMENT "Writing manual pages and completion scripts" VERBATIM)
        add_custom_target(conure_manual ALL DEPENDS ${CONURE_MANUAL}/man1/conure.1)
        install(DIRECTORY ${CONURE_MANUAL}/man1 DESTINATION ${CMAKE_INSTALL_MANDIR})
        install(FILES ${CONURE_MANUAL}/conure.bash RENAME conure
            DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
        install(FILES ${CONURE_MANUAL}/conure.zsh RENAME _conure
            DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
        install(FILES ${CONURE_MANUAL}/conure.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
    endif()
endif()
