#ifndef PREFORK_TESTS_SIMULATION_RANDOM_H_
#define PREFORK_TESTS_SIMULATION_RANDOM_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace prefork::simulation {

// SplitMix64: the same numbers from the same seed on every machine, a few cycles each.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t Next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  // From 0 to `bound` - 1.
  uint32_t Below(uint64_t bound) { return static_cast<uint32_t>(Next() % bound); }
  // From `low` to `high`, both included.
  int64_t Between(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(Next() % static_cast<uint64_t>(high - low + 1));
  }
  bool OneIn(uint32_t n) { return Below(n) == 0; }
  bool Percent(uint32_t percent) { return Below(100) < percent; }
  template <typename T>
  const T& Of(const std::vector<T>& values) {
    return values[Below(values.size())];
  }

 private:
  uint64_t state_;
};

}  // namespace prefork::simulation

#endif  // PREFORK_TESTS_SIMULATION_RANDOM_H_
