# The CPU kernels are one source compiled for several instruction sets; what may be fused is written out in it.
set(isa_source ${PROJECT_SOURCE_DIR}/src/backend/cpu/kernels)
set(isa_options -ffp-contract=off -fno-math-errno)
set_source_files_properties(${isa_source}_baseline.cpp PROPERTIES COMPILE_OPTIONS "${isa_options}")
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
  set_source_files_properties(${isa_source}_avx2.cpp PROPERTIES COMPILE_OPTIONS "${isa_options};-march=x86-64-v3")
  set_source_files_properties(${isa_source}_avx512.cpp PROPERTIES COMPILE_OPTIONS "${isa_options};-march=x86-64-v4")
  set_source_files_properties(${isa_source}_avx512bf16.cpp PROPERTIES COMPILE_OPTIONS
    "${isa_options};-march=x86-64-v4;-mavx512bf16;-mavx512vnni;-mavx512vbmi;-mgfni")
  set_source_files_properties(${isa_source}_amx.cpp PROPERTIES COMPILE_OPTIONS
    "${isa_options};-march=x86-64-v4;-mavx512bf16;-mavx512vnni;-mavx512vbmi;-mgfni;-mamx-tile;-mamx-int8;-mamx-bf16")
endif()
