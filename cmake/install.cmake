# Installing: libconure, conure.h, pkg-config file, CMake package, the command, man pages, completion.
