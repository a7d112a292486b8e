#ifndef PREFORK_TESTS_SERVER_POOL_POOL_FAULT_BED_H_
#define PREFORK_TESTS_SERVER_POOL_POOL_FAULT_BED_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <string>

#include "absl/strings/match.h"
#include "absl/time/time.h"
#include "tests/server/pool/pool_test_bed.h"

namespace prefork::pool {

// For zygotes and workers that misbehave. Each case ends with an exact state, a reason that a person
// can use, a cure that works, and (checked by PoolTestBed) no process left.
class PoolFaultBed : public PoolTestBed {
 protected:
  // Makes everything well and waits until the pool is full and says so.
  void CureAndExpectFullPool(size_t size) {
    Cure();
    EXPECT_TRUE(AdvanceUntil(absl::Seconds(10), 20, [&] {
      return owner.ready.size() == size && !pool->degraded() && pool->degraded_reason().empty();
    })) << pool->degraded_reason();
  }
  // How many workers were started until now.
  size_t Starts() const {
    return static_cast<size_t>(std::count_if(
        owner.events.begin(), owner.events.end(),
        [](const std::string& event) { return absl::StartsWith(event, "starting"); }));
  }
};

// A mode of the fake zygote or worker that breaks its protocol, and what the pool says of it.
struct Misdeed {
  const char* mode;
  const char* complaint;
};

inline std::string NameOfMisdeed(const ::testing::TestParamInfo<Misdeed>& info) {
  std::string name = info.param.mode;
  name.erase(std::remove(name.begin(), name.end(), '-'), name.end());
  return name;
}

}  // namespace prefork::pool

#endif  // PREFORK_TESTS_SERVER_POOL_POOL_FAULT_BED_H_
