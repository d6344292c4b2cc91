#pragma once

namespace switchyard::cli {

inline constexpr const char* kVersion = SWITCHYARD_VERSION;

}  // namespace switchyard::cli
