# Writes the file IN as an array of C into OUT.
file(READ ${IN} bytes HEX)
string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
string(REGEX REPLACE "(................................................................................)" "\\1\n" bytes "${bytes}")
file(WRITE ${OUT} "#include \"control/api/api_i.h\"\n\nconst char api_openapi[] = {\n${bytes}\n};\nconst size_t api_openapi_len = sizeof(api_openapi);\n")
