# llama.cpp v0.5.0 as a sub-project, statically linked. Its source is never part of this repository:
# scripts/fetch-llama puts a checked copy at third_party/llama.cpp, and a checkout of your own is
# taken with -DSWITCHYARD_LLAMA_DIR=DIR.
#
# -DSWITCHYARD_LLAMA_BUILD=DIR links the static libraries that another build directory of this
# project has made already, instead of building them again: so do the sanitizer and clang builds,
# in which llama.cpp itself stays uninstrumented.
set(SWITCHYARD_LLAMA_DIR "${PROJECT_SOURCE_DIR}/third_party/llama.cpp" CACHE PATH
    "llama.cpp source tree to build against")
set(SWITCHYARD_LLAMA_BUILD "" CACHE PATH "Build directory whose llama.cpp libraries are linked")

if(SWITCHYARD_LLAMA_BUILD)
  get_filename_component(llama_build "${SWITCHYARD_LLAMA_BUILD}" ABSOLUTE BASE_DIR "${PROJECT_SOURCE_DIR}")
  if(NOT EXISTS "${llama_build}/llama-imports.cmake")
    message(FATAL_ERROR "${llama_build} holds no built llama.cpp to link. Build there first: "
                        "cmake --preset cpu && cmake --build build --target llama_libraries")
  endif()
  include("${llama_build}/llama-imports.cmake")
  return()
endif()

if(NOT EXISTS "${SWITCHYARD_LLAMA_DIR}/tools/server/server-context.h")
  message(FATAL_ERROR
    "No llama.cpp v0.5.0 source at ${SWITCHYARD_LLAMA_DIR}. Run ./scripts/setup (or ./quickstart), "
    "which fetches it and checks its hash, or pass -DSWITCHYARD_LLAMA_DIR=<your checkout>.")
endif()

set(BUILD_SHARED_LIBS OFF)
set(LLAMA_BUILD_COMMON ON CACHE BOOL "" FORCE)
set(LLAMA_BUILD_TOOLS ON CACHE BOOL "" FORCE)
set(LLAMA_BUILD_SERVER ON CACHE BOOL "" FORCE)
set(LLAMA_BUILD_MTMD ON CACHE BOOL "" FORCE)
foreach(off TESTS EXAMPLES APP UI)
  set(LLAMA_BUILD_${off} OFF CACHE BOOL "" FORCE)
endforeach()
set(LLAMA_USE_PREBUILT_UI OFF CACHE BOOL "" FORCE)
set(LLAMA_TOOLS_INSTALL OFF CACHE BOOL "" FORCE)
set(LLAMA_TESTS_INSTALL OFF CACHE BOOL "" FORCE)
add_subdirectory("${SWITCHYARD_LLAMA_DIR}" llama.cpp EXCLUDE_FROM_ALL)

# g++ 12 miscompiles the set-up of AMX tiles.
set_property(SOURCE "${SWITCHYARD_LLAMA_DIR}/ggml/src/ggml-cpu/amx/mmq.cpp" DIRECTORY "${SWITCHYARD_LLAMA_DIR}/ggml/src"
             APPEND PROPERTY COMPILE_OPTIONS -include "${PROJECT_SOURCE_DIR}/cmake/AmxTileConfig.h")

# Slots and prompt cache are private to tools/server/server-context.cpp. A file of ours that includes
# it takes its place in the library, and so reaches them without a change to llama.cpp.
get_target_property(server_context_sources server-context SOURCES)
list(TRANSFORM server_context_sources REPLACE "^server-context\\.cpp$"
     "${PROJECT_SOURCE_DIR}/src/engine/server_context_conversations.cpp")
# Those who wait for replies look up more often: tools/server/server-queue.cpp through a file of ours, too.
list(TRANSFORM server_context_sources REPLACE "^server-queue\\.cpp$" "${PROJECT_SOURCE_DIR}/src/engine/polled_results.cpp")
list(APPEND server_context_sources "${PROJECT_SOURCE_DIR}/src/engine/prompts_first.cpp")
set_target_properties(server-context PROPERTIES SOURCES "${server_context_sources}")
target_include_directories(server-context PRIVATE ${PROJECT_SOURCE_DIR}/src)
