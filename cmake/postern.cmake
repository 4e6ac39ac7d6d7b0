# The one helper file of the build: flags, pn_room(), pn_room_tests(), pn_executable().
include(GNUInstallDirs)

option(PN_WERROR "Treat warnings as errors (dev and CI presets)" OFF)
option(PN_FUZZ "Build the fuzzers (needs clang)" OFF)
option(PN_TESTS "Build the unit tests" ON)
option(PN_LTO "Optimise the gateway across its rooms (release; takes longer to link)" OFF)
set(PN_SANITIZE "" CACHE STRING "Sanitizers, as for -fsanitize= (address,undefined or thread)")

set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)

find_package(PkgConfig REQUIRED)
find_package(OpenSSL 3.0 REQUIRED)
find_package(Threads REQUIRED)
foreach(lib jansson libxml-2.0 sqlite3 libcurl libcares libseccomp yaml-0.1 libnghttp2 libpcre2-8)
    string(TOUPPER ${lib} var)
    string(REGEX REPLACE "[^A-Z0-9]" "_" var ${var})
    pkg_check_modules(${var} REQUIRED IMPORTED_TARGET ${lib})
endforeach()

add_library(pn_flags INTERFACE)
target_compile_definitions(pn_flags INTERFACE _GNU_SOURCE OPENSSL_API_COMPAT=30000
    OPENSSL_NO_DEPRECATED PN_VERSION="${PROJECT_VERSION}")
target_compile_options(pn_flags INTERFACE -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes
    -Wmissing-prototypes -Wswitch-enum -Wvla -Wformat=2 -Wundef -Wcast-qual -fno-common
    -fno-omit-frame-pointer)
target_include_directories(pn_flags INTERFACE ${CMAKE_SOURCE_DIR}/src)
if(PN_WERROR)
    target_compile_options(pn_flags INTERFACE -Werror)
endif()
if(PN_SANITIZE)
    target_compile_options(pn_flags INTERFACE -fsanitize=${PN_SANITIZE} -fno-sanitize-recover=all)
    target_compile_definitions(pn_flags INTERFACE PN_SANITIZED=1)
    target_link_options(pn_flags INTERFACE -fsanitize=${PN_SANITIZE})
else()
    target_compile_options(pn_flags INTERFACE -fstack-protector-strong -fstack-clash-protection
        -fcf-protection)
    target_compile_definitions(pn_flags INTERFACE $<$<NOT:$<CONFIG:Debug>>:_FORTIFY_SOURCE=3>)
    target_link_options(pn_flags INTERFACE -pie -Wl,-z,relro,-z,now,-z,noexecstack)
endif()
# assert() guards our own bugs and stays on in release (docs: conventions §4).
string(REPLACE "-DNDEBUG" "" CMAKE_C_FLAGS_RELEASE "${CMAKE_C_FLAGS_RELEASE}")
string(REPLACE "-DNDEBUG" "" CMAKE_C_FLAGS_RELWITHDEBINFO "${CMAKE_C_FLAGS_RELWITHDEBINFO}")

# Where a request passes: -O3, and the gateway is optimised as a whole. The objects can be linked
# without that as well (-ffat-lto-objects), which all other executables do: they have no use for it.
# A frame pointer and a stub for each call into a library are a thirtieth of their instructions; perf
# finds its way by --call-graph dwarf (ADR 285).
set(PN_HOT_ROOMS base loop http policy tls upstream gateway)
set(PN_HAS_LTO OFF)
if(PN_LTO AND NOT PN_SANITIZE AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
    set(PN_HAS_LTO ON)
endif()
function(pn_optimise_room name)
    if(PN_HAS_LTO AND name IN_LIST PN_HOT_ROOMS)
        target_compile_options(pn_${name} PRIVATE -O3 -flto=auto -ffat-lto-objects)
        get_target_property(sources pn_${name} SOURCES) # those of sources come last
        set_source_files_properties(${sources} PROPERTIES
            COMPILE_OPTIONS "-fomit-frame-pointer;-fno-plt")
    endif()
endfunction()
function(pn_optimise_executable name)
    if(PN_HAS_LTO AND name STREQUAL "postern-gateway")
        target_link_options(${name} PRIVATE -flto=auto)
    elseif(PN_HAS_LTO)
        target_link_options(${name} PRIVATE -fno-lto)
    endif()
endfunction()

# pn_room(<name> DEPENDS <rooms...> LIBS <imported targets...>): a static library of every .c here.
function(pn_room name)
    cmake_parse_arguments(ARG "" "" "DEPENDS;LIBS" ${ARGN})
    file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.c)
    if(NOT sources) # a room of headers only
        set(sources ${CMAKE_SOURCE_DIR}/cmake/empty.c)
    endif()
    add_library(pn_${name} STATIC ${sources})
    list(TRANSFORM ARG_DEPENDS PREPEND pn_)
    target_link_libraries(pn_${name} PUBLIC pn_flags ${ARG_DEPENDS} ${ARG_LIBS} Threads::Threads)
    pn_optimise_room(${name})
endfunction()

# One cmocka executable for each tests/unit/<room>/test_*.c; ctest name: unit/<room>/<module>.
# tests/unit/<room>/support.c, if there is one, is linked into each of them.
function(pn_room_tests room)
    if(NOT PN_TESTS)
        return()
    endif()
    pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)
    file(GLOB tests CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/unit/${room}/test_*.c)
    set(support ${CMAKE_SOURCE_DIR}/tests/unit/${room}/support.c)
    foreach(test IN LISTS tests)
        get_filename_component(stem ${test} NAME_WE)
        string(REGEX REPLACE "^test_" "" stem ${stem})
        set(target test_${room}_${stem})
        add_executable(${target} ${test})
        if(EXISTS ${support})
            target_sources(${target} PRIVATE ${support})
        endif()
        target_include_directories(${target} PRIVATE ${CMAKE_SOURCE_DIR}/tests/unit
            ${CMAKE_SOURCE_DIR}/tests)
        target_link_libraries(${target} PRIVATE pn_${room} PkgConfig::CMOCKA)
        pn_optimise_executable(${target})
        set_target_properties(${target} PROPERTIES
            RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
        add_test(NAME unit/${room}/${stem} COMMAND ${target}
            WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
        set_tests_properties(unit/${room}/${stem} PROPERTIES TIMEOUT 120)
    endforeach()
endfunction()

# pn_executable(<name> <main source> <rooms...>)
function(pn_executable name source)
    list(TRANSFORM ARGN PREPEND pn_)
    add_executable(${name} ${source})
    target_link_libraries(${name} PRIVATE pn_flags ${ARGN})
    pn_optimise_executable(${name})
endfunction()
