# Debian has pages and changelogs compressed. gzip -n: the same bytes from the same source.
file(GLOB_RECURSE files ${CPACK_TEMPORARY_DIRECTORY}/*)
list(FILTER files INCLUDE REGEX "/share/man/.*\\.[1-8]$|/share/doc/[^/]*/changelog$")
foreach(file ${files})
  execute_process(COMMAND gzip -9nf ${file} COMMAND_ERROR_IS_FATAL ANY)
endforeach()
