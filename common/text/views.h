#ifndef PREFORK_COMMON_TEXT_VIEWS_H_
#define PREFORK_COMMON_TEXT_VIEWS_H_

#include <string_view>

#include "absl/strings/string_view.h"

// Debian builds Abseil with a string_view of its own, which std::string_view does not convert to.
namespace prefork::text {

inline absl::string_view ToAbsl(std::string_view text) { return {text.data(), text.size()}; }
inline std::string_view ToStd(absl::string_view text) { return {text.data(), text.size()}; }

}  // namespace prefork::text

#endif  // PREFORK_COMMON_TEXT_VIEWS_H_
