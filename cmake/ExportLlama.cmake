# Writes <build>/llama-imports.cmake: llama.cpp's libraries of this build directory as imported
# targets of the same names, for builds with -DSWITCHYARD_LLAMA_BUILD (see Llama.cmake).
if(SWITCHYARD_LLAMA_BUILD)
  return()
endif()
include(StaticClosure)
switchyard_static_closure(llama_own llama_external server-context mtmd llama-common cpp-httplib)

set(llama_archives)
foreach(target ${llama_own})
  get_target_property(type ${target} TYPE)
  if(type STREQUAL "STATIC_LIBRARY")
    list(APPEND llama_archives ${target})
  endif()
endforeach()
add_custom_target(llama_libraries DEPENDS ${llama_archives})

export(TARGETS ${llama_own} FILE ${PROJECT_BINARY_DIR}/llama-targets.cmake)
# OpenMP is named by its library: another compiler (clang without its own libomp) would not find it,
# and only the code that is compiled already uses it.
set(llama_gomp ${OpenMP_gomp_LIBRARY})
file(WRITE ${PROJECT_BINARY_DIR}/llama-imports.cmake "\
set(SWITCHYARD_LLAMA_DIR \"${SWITCHYARD_LLAMA_DIR}\")
find_package(Threads REQUIRED)
find_package(OpenSSL QUIET)
foreach(language C CXX)
  if(NOT TARGET OpenMP::OpenMP_\${language})
    add_library(OpenMP::OpenMP_\${language} INTERFACE IMPORTED)
    set_target_properties(OpenMP::OpenMP_\${language} PROPERTIES INTERFACE_LINK_LIBRARIES \"${llama_gomp}\")
  endif()
endforeach()
include(\"${PROJECT_BINARY_DIR}/llama-targets.cmake\")
foreach(vendor nlohmann sheredom hash miniaudio stb cpp-httplib)
  if(TARGET \${vendor} AND NOT TARGET vendor::\${vendor})
    add_library(vendor::\${vendor} ALIAS \${vendor})
  endif()
endforeach()
")
