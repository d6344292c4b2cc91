# Flags of our own code. Never applied to llama.cpp, whose folder is added before this file is read.
add_library(switchyard_warnings INTERFACE)
target_compile_options(switchyard_warnings INTERFACE -Wall -Wextra -Wpedantic -Wshadow
  -Wnon-virtual-dtor -Woverloaded-virtual
  # g++ 12 sees overlaps in std::string's operator+ that are not there (its bug 105651).
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>
  $<$<CXX_COMPILER_ID:Clang>:-Wthread-safety -Werror=thread-safety>)

# llama.cpp's own copy of nlohmann/json lies in its archives. g++ and clang lay out its ordered objects
# differently, so ours has another namespace: the linker must not take one's function for the other's.
add_compile_definitions(NLOHMANN_JSON_NAMESPACE_NO_VERSION=1)

if(SWITCHYARD_SANITIZER STREQUAL "address")
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g)
  add_link_options(-fsanitize=address,undefined)
elseif(SWITCHYARD_SANITIZER STREQUAL "thread")
  add_compile_options(-fsanitize=thread -fno-omit-frame-pointer -g)
  add_link_options(-fsanitize=thread)
elseif(SWITCHYARD_SANITIZER)
  message(FATAL_ERROR "SWITCHYARD_SANITIZER is '${SWITCHYARD_SANITIZER}': use address, thread or nothing")
endif()
if(SWITCHYARD_FUZZERS)
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    message(FATAL_ERROR "SWITCHYARD_FUZZERS needs clang: configure with -DCMAKE_CXX_COMPILER=clang++-19")
  endif()
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
