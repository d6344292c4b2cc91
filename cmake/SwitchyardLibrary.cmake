# switchyard_library(NAME SOURCES ... [TESTS ...] DEPENDS ... [TEST_DEPENDS ...])
# One folder, one static library switchyard_<NAME>, one test program <NAME>_test with the *_test.cpp
# beside the code. Dependencies are spelled out: what is not listed does not link.
function(switchyard_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;TESTS;DEPENDS;TEST_DEPENDS" ${ARGN})
  set(target switchyard_${name})
  if(ARG_SOURCES)
    add_library(${target} STATIC ${ARG_SOURCES})
    set(scope PUBLIC)
    target_link_libraries(${target} PRIVATE switchyard_warnings)
    switchyard_precompiled(${target})
  else()
    add_library(${target} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(${target} ${scope} ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)
  target_compile_features(${target} ${scope} cxx_std_23)
  target_link_libraries(${target} ${scope} ${ARG_DEPENDS})
  if(ARG_TESTS AND SWITCHYARD_TESTS)
    add_executable(${name}_test ${ARG_TESTS})
    # Nobody waits for the tests' own code, and everybody for its compiler.
    target_compile_options(${name}_test PRIVATE $<$<CONFIG:Release>:-O1>)
    target_link_libraries(${name}_test PRIVATE ${target} ${ARG_TEST_DEPENDS} switchyard_warnings
                                               GTest::gmock GTest::gtest_main)
    switchyard_precompiled(${name}_test)
    gtest_discover_tests(${name}_test TEST_PREFIX ${name}. DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 120
                         PROPERTIES TIMEOUT 300)
    set_property(GLOBAL APPEND PROPERTY SWITCHYARD_TEST_TARGETS ${name}_test)
  endif()
endfunction()

# switchyard_fuzzer(NAME SOURCES ... DEPENDS ...)
# A libFuzzer program bin/NAME, built where SWITCHYARD_FUZZERS is on and nowhere else.
# A folder NAME.corpus beside its source, if there is one, seeds it.
function(switchyard_fuzzer name)
  if(NOT SWITCHYARD_FUZZERS)
    return()
  endif()
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_DEPENDS} switchyard_warnings)
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
endfunction()
