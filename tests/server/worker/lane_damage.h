#ifndef PREFORK_TESTS_SERVER_WORKER_LANE_DAMAGE_H_
#define PREFORK_TESTS_SERVER_WORKER_LANE_DAMAGE_H_

#include <cstdint>
#include <string_view>

#include "common/shm/lane.h"

namespace prefork::worker_testing {

// Nonsense in a lane, as a worker with a stray pointer or bad intentions would write it. The names
// are those of the table in lane_damage.cc.
struct LaneDamage {
  const char* name;
  // It spoils the result that the worker has committed and not published; there is one only at the
  // step result_written. Otherwise it needs no more than a lane.
  bool of_result;
  void (*inflict)(uint64_t task_id, shm::LaneGuest& lane);
};

// nullptr: no such name.
const LaneDamage* FindLaneDamage(std::string_view name);

}  // namespace prefork::worker_testing

#endif  // PREFORK_TESTS_SERVER_WORKER_LANE_DAMAGE_H_
