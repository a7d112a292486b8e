#ifndef PREFORK_COMMON_TEXT_UTF8_H_
#define PREFORK_COMMON_TEXT_UTF8_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace prefork::text {

// Is `text` well-formed UTF-8 (no overlong forms, surrogates or code points above U+10FFFF)?
bool IsValidUtf8(std::string_view text);

// `text` with every malformed byte replaced by U+FFFD, cut at a character border to at most
// `max_bytes`. For text that comes from a worker or a client and goes into a log or a Protobuf
// string field.
std::string CleanUtf8(std::string_view text, size_t max_bytes = static_cast<size_t>(-1));

}  // namespace prefork::text

#endif  // PREFORK_COMMON_TEXT_UTF8_H_
