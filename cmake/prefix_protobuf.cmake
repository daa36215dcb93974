# prefix_protobuf.cmake - protobuf-c names functions after the package of a .proto file, and the static library's global names
# begin with conure_.  So the generated header begins by renaming them; sources use the names of the package.
#
#     cmake -DHEADER=FILE.pb-c.h -DPACKAGE=onnx__ -P prefix_protobuf.cmake
file(READ ${HEADER} text)
string(REGEX MATCHALL "${PACKAGE}[a-z0-9_]+" names "${text}")
list(REMOVE_DUPLICATES names)
list(SORT names)
set(defines "")
foreach(name IN LISTS names)
    string(APPEND defines "#define ${name} conure_${name}\n")
endforeach()
file(WRITE ${HEADER} "${defines}${text}")
