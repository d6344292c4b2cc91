# cmake --install: the program, the public headers, one static archive that holds our libraries and
# llama.cpp's, and a CMake package that gives the target switchyard::switchyard. Sanitizer builds and
# builds that borrow llama.cpp from elsewhere install nothing.
if(SWITCHYARD_LLAMA_BUILD OR SWITCHYARD_SANITIZER OR NOT TARGET switchyard_library)
  return()
endif()
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
include(StaticClosure)

switchyard_static_closure(own external switchyard_library)
set(archives)
set(link_options)
foreach(target ${own})
  get_target_property(type ${target} TYPE)
  if(type STREQUAL "STATIC_LIBRARY")
    list(APPEND archives ${target})
  endif()
  get_target_property(options ${target} INTERFACE_LINK_OPTIONS)
  if(options)
    list(APPEND link_options ${options})
  endif()
endforeach()

set(archive ${PROJECT_BINARY_DIR}/${CMAKE_INSTALL_LIBDIR}/${CMAKE_STATIC_LIBRARY_PREFIX}switchyard${CMAKE_STATIC_LIBRARY_SUFFIX})
set(script ${PROJECT_BINARY_DIR}/merge-archives.mri)
set(lines "CREATE ${archive}\n")
foreach(target ${archives})
  string(APPEND lines "ADDLIB $<TARGET_FILE:${target}>\n")
endforeach()
file(GENERATE OUTPUT ${script} CONTENT "${lines}SAVE\nEND\n")
file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/${CMAKE_INSTALL_LIBDIR})
add_custom_command(OUTPUT ${archive}
  COMMAND ${CMAKE_COMMAND} -E rm -f ${archive}
  COMMAND ${CMAKE_AR} -M < ${script}
  DEPENDS ${archives} ${script}
  COMMENT "Merging ${archive}" VERBATIM)
add_custom_target(switchyard_archive ALL DEPENDS ${archive})

# What the archive needs from the system. Packages are found again by whoever links it; OpenMP and
# plain library names travel as they are.
set(SWITCHYARD_FIND_PACKAGES)
set(SWITCHYARD_LINK_LIBRARIES)
list(REMOVE_ITEM external OpenMP::OpenMP_C)  # the same library as OpenMP_CXX, which a C++ project finds
foreach(item ${external})
  string(APPEND SWITCHYARD_LINK_LIBRARIES "\n  \$<LINK_ONLY:${item}>")
  if(item MATCHES "^([A-Za-z0-9_-]+)::")
    set(package ${CMAKE_MATCH_1})
    if(package STREQUAL "SQLite")
      set(package SQLite3)
    elseif(package STREQUAL "CUDA")
      set(package CUDAToolkit)
    endif()
    list(APPEND SWITCHYARD_FIND_PACKAGES "find_dependency(${package})")
  endif()
endforeach()
list(REMOVE_DUPLICATES SWITCHYARD_FIND_PACKAGES)
list(JOIN SWITCHYARD_FIND_PACKAGES "\n" SWITCHYARD_FIND_PACKAGES)
list(REMOVE_DUPLICATES link_options)
list(JOIN link_options "\n  " SWITCHYARD_LINK_OPTIONS)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/Switchyard)
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/SwitchyardConfig.cmake.in
  ${PROJECT_BINARY_DIR}/SwitchyardConfig.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/SwitchyardConfigVersion.cmake
  VERSION ${PROJECT_VERSION} COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/SwitchyardConfig.cmake ${PROJECT_BINARY_DIR}/SwitchyardConfigVersion.cmake
        DESTINATION ${package_dir})
install(FILES ${archive} DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/switchyard DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
if(TARGET switchyard)
  install(TARGETS switchyard RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
