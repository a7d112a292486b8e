#ifndef PREFORK_COMMON_TEXT_NEAREST_H_
#define PREFORK_COMMON_TEXT_NEAREST_H_

#include <string>
#include <string_view>
#include <vector>

namespace prefork::text {

// The candidate that `word` was probably meant to be: the one with the fewest letters inserted,
// dropped, changed or swapped. Empty when none comes close.
std::string Nearest(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace prefork::text

#endif  // PREFORK_COMMON_TEXT_NEAREST_H_
