# Debian packages: adit, libadit0 and libadit-dev, by cpack -G DEB in a build that was configured for /usr
# (cmake --preset package). Components are named in install(); all without a name is the package adit's.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME adit)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_DIRECTORY ${CMAKE_BINARY_DIR}/packages)
set(CPACK_STRIP_FILES ON)
# /etc and /lib are not below /usr
set(CPACK_SET_DESTDIR ON)
set(CPACK_INSTALL_PREFIX ${CMAKE_INSTALL_PREFIX})
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_CURRENT_SOURCE_DIR}/debian/compress.cmake)

set(ADIT_PACKAGER "adit packagers <adit@localhost>" CACHE STRING "Who answers for the packages")
set(CPACK_DEBIAN_PACKAGE_MAINTAINER ${ADIT_PACKAGER})
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_ALL runtime library development)

set(CPACK_DEBIAN_RUNTIME_PACKAGE_NAME adit)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SUGGESTS "qemu-system, openssh-server, libvirt-daemon")
set(CPACK_COMPONENT_RUNTIME_DESCRIPTION "moves running QEMU virtual machines through one TCP port
adit moves a running QEMU/KVM virtual machine, RAM and disks together, to
another host through one TCP port, encrypted. A pair of proxies, one beside
each QEMU, carries the migration stream and every NBD disk copy over a single
TLS 1.3 or ssh connection and hands QEMU ready-made file descriptors.
.
The service is installed, but neither enabled nor started.")
set(CPACK_DEBIAN_LIBRARY_PACKAGE_NAME libadit0)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_SECTION libs)
set(CPACK_COMPONENT_LIBRARY_DESCRIPTION "adit within a program: shared library
libadit starts, watches, changes, cancels and resumes migrations of QEMU
virtual machines, and opens tunnels with forwards, for programs that would
rather not run adit beside themselves.")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libadit-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS "libadit0 (= ${PROJECT_VERSION})")
set(CPACK_COMPONENT_DEVELOPMENT_DESCRIPTION "adit within a program: header and pkg-config file
What programs that embed adit are built with: adit.h, libadit.so, libadit.pc
and an example.")

# the scripts of dpkg, and the file that is the administrator's
set(control ${CMAKE_CURRENT_SOURCE_DIR}/debian)
file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/debian/conffiles "/etc/adit/adit.conf\n")
set(CPACK_DEBIAN_RUNTIME_PACKAGE_CONTROL_EXTRA ${control}/postinst ${control}/prerm ${control}/postrm
  ${CMAKE_CURRENT_BINARY_DIR}/debian/conffiles)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_CONTROL_EXTRA ${control}/triggers)

# Debian asks every package for these two
if(CMAKE_INSTALL_PREFIX STREQUAL "/usr")
  file(READ ${control}/changelog text)
  if(NOT text MATCHES "^adit \\(${PROJECT_VERSION}\\) ")
    message(FATAL_ERROR "dist/debian/changelog does not begin with version ${PROJECT_VERSION}")
  endif()
  foreach(pair adit=runtime libadit0=library libadit-dev=development)
    string(REPLACE "=" ";" pair ${pair})
    list(GET pair 0 package)
    list(GET pair 1 component)
    install(FILES ${control}/changelog ${control}/copyright DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${package}
      COMPONENT ${component})
  endforeach()
endif()
include(CPack)
