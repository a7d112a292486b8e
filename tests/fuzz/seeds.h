#ifndef PREFORK_TESTS_FUZZ_SEEDS_H_
#define PREFORK_TESTS_FUZZ_SEEDS_H_

#include <string>
#include <vector>

namespace prefork::fuzz {

// Well-formed inputs that the standalone driver mutates. A fuzz target may define it; without it
// the driver starts from random bytes. libFuzzer finds its way by coverage and does not call it.
__attribute__((weak)) std::vector<std::string> Seeds();

}  // namespace prefork::fuzz

#endif  // PREFORK_TESTS_FUZZ_SEEDS_H_
