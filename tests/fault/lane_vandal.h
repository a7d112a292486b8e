#ifndef PREFORK_TESTS_FAULT_LANE_VANDAL_H_
#define PREFORK_TESTS_FAULT_LANE_VANDAL_H_

#include <cstdint>
#include <string_view>

#include "common/shm/lane.h"

namespace prefork::fault {

// Writes nonsense into a lane, as a worker with a stray pointer or bad intentions would. `what` is
// one of the names in the table of lane_vandal.cc. The record that is spoilt is the one that the
// worker has committed last and not published. False: no such name.
bool Vandalise(std::string_view what, uint64_t task_id, shm::LaneGuest& lane);

}  // namespace prefork::fault

#endif  // PREFORK_TESTS_FAULT_LANE_VANDAL_H_
