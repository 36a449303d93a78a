# What every target of ours is compiled with.
add_library(precis_options INTERFACE)
target_compile_options(precis_options INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Wconversion;-Werror;-fno-omit-frame-pointer>
  $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra,-Wconversion,-Werror,-fno-omit-frame-pointer;-Werror=all-warnings>)
if(PRECIS_SANITIZE)
  # Warnings stay warnings here: instrumented code makes GCC 12 warn of what cannot happen (its manual says so of
  # -Wmaybe-uninitialized). The release build, which CI makes first, has them as errors.
  # Tests themselves are not instrumented (PRECIS_TEST), which would take as long as all that they test; but
  # ThreadSanitizer must see all code.
  if(NOT PRECIS_SANITIZE MATCHES "thread")
    set(uninstrumented $<BOOL:$<TARGET_PROPERTY:PRECIS_TEST>>)
  else()
    set(uninstrumented 0)
  endif()
  target_compile_options(precis_options INTERFACE
    $<$<NOT:${uninstrumented}>:-fsanitize=${PRECIS_SANITIZE};-fno-sanitize-recover=all>;-Wno-error)
  target_link_options(precis_options INTERFACE -fsanitize=${PRECIS_SANITIZE})
endif()
target_include_directories(precis_options INTERFACE
  ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)

# precis_room(NAME [CUDA] DEPENDS room... LINK library...): one static library a room, made of src/NAME/*.cpp and, where
# it says CUDA, of *.cu; such a room is empty in a build without CUDA.
function(precis_room name)
  cmake_parse_arguments(ROOM "CUDA" "" "DEPENDS;LINK" ${ARGN})
  string(REPLACE "/" "_" target "precis_${name}")
  if(ROOM_CUDA AND NOT PRECIS_HAS_CUDA)
    add_library(${target} INTERFACE)
    return()
  endif()
  set(patterns ${PROJECT_SOURCE_DIR}/src/${name}/*.cpp)
  if(ROOM_CUDA)
    list(APPEND patterns ${PROJECT_SOURCE_DIR}/src/${name}/*.cu)
  endif()
  file(GLOB sources CONFIGURE_DEPENDS ${patterns})
  add_library(${target} STATIC ${sources})
  set_target_properties(${target} PROPERTIES LINKER_LANGUAGE CXX)
  target_link_libraries(${target} PUBLIC precis_options)
  foreach(room ${ROOM_DEPENDS})
    string(REPLACE "/" "_" room "${room}")
    target_link_libraries(${target} PUBLIC precis_${room})
  endforeach()
  target_link_libraries(${target} PUBLIC ${ROOM_LINK})
endfunction()
