# -DSWITCHYARD_PRECOMPILED=ON (the sanitizer builds): the libraries' headers that nearly every file reads
# are compiled once. The Release build goes without, so that a file that forgets an include fails there.
option(SWITCHYARD_PRECOMPILED "Compile the libraries' headers once for all targets" OFF)

if(SWITCHYARD_PRECOMPILED)
  file(WRITE ${PROJECT_BINARY_DIR}/precompiled.cpp "")
  add_library(switchyard_precompiled OBJECT ${PROJECT_BINARY_DIR}/precompiled.cpp)
  target_compile_features(switchyard_precompiled PUBLIC cxx_std_23)
  target_link_libraries(switchyard_precompiled PRIVATE fmt::fmt $<$<BOOL:${SWITCHYARD_TESTS}>:GTest::gmock>)
  target_include_directories(switchyard_precompiled SYSTEM PRIVATE ${SWITCHYARD_LLAMA_DIR}/vendor)
  set(headers <algorithm> <array> <atomic> <chrono> <filesystem> <fstream> <functional> <map> <memory> <mutex> <optional>
              <set> <stop_token> <string> <string_view> <thread> <utility> <vector> <fmt/format.h> <nlohmann/json.hpp>)
  if(SWITCHYARD_TESTS)
    list(APPEND headers <gmock/gmock.h> <gtest/gtest.h>)
  endif()
  target_precompile_headers(switchyard_precompiled PRIVATE ${headers})
endif()

function(switchyard_precompiled target)
  if(SWITCHYARD_PRECOMPILED)
    target_precompile_headers(${target} REUSE_FROM switchyard_precompiled)
  endif()
endfunction()
