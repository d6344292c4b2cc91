// llama.cpp writes every array of a GGUF's metadata out as text, to log its first 37 characters: with a
// vocabulary of 262k tokens and as many scores a tenth of a load. Arrays are told by their length here.
#include <fmt/format.h>

#include <string>

#include "gguf.h"

namespace switchyard::engine {

// The linker sends llama.cpp's calls of gguf_kv_to_str() here (--wrap, CMakeLists.txt).
std::string gguf_text(const gguf_context* gguf,
                      int key) __asm__("__wrap__Z14gguf_kv_to_strB5cxx11PK12gguf_contexti");
std::string whole_text(const gguf_context* gguf,
                       int key) __asm__("__real__Z14gguf_kv_to_strB5cxx11PK12gguf_contexti");

std::string gguf_text(const gguf_context* gguf, int key) {
  if (gguf_get_kv_type(gguf, key) != GGUF_TYPE_ARRAY) return whole_text(gguf, key);
  return fmt::format("[{} values]", gguf_get_arr_n(gguf, key));
}

}  // namespace switchyard::engine
