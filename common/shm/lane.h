#ifndef PREFORK_COMMON_SHM_LANE_H_
#define PREFORK_COMMON_SHM_LANE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/os/fd.h"
#include "common/os/mapping.h"
#include "common/shm/lane_layout.h"
#include "common/shm/queue.h"

namespace prefork::shm {

struct LaneOptions {
  uint32_t worker_index = 0;
  uint32_t generation = 0;
  size_t down_bytes = kRingBytes;  // power of two, at least 4096
  size_t up_bytes = kRingBytes;    // power of two, at least 4096
};

// One memfd with two queues between the engine and one worker; the design note is in lane.cc. A
// LaneOwner is the engine's end and creates the memory; a LaneGuest is the worker's end and maps
// what it was given. Each end is used by one thread. A lane is thrown away with its worker and
// never reset.
class LaneOwner {
 public:
  // Fails with RESOURCE_EXHAUSTED when memory or descriptors run out; never later with SIGBUS.
  static absl::StatusOr<LaneOwner> Create(const LaneOptions& options);

  QueueProducer& down() { return down_; }
  QueueConsumer& up() { return up_; }
  LaneStatus& status();

  // The descriptors the worker gets; all are closed with this object.
  int memfd() const { return memfd_.get(); }
  int down_eventfd() const { return down_event_.get(); }  // engine writes, worker sleeps on it
  int up_eventfd() const {
    return up_event_.get();
  }  // worker writes, engine has it in its epoll (edge-triggered)

 private:
  LaneOwner() = default;
  LaneHeader* header();
  os::Fd memfd_, down_event_, up_event_;
  os::Mapping mapping_;
  QueueProducer down_;
  QueueConsumer up_;
};

class LaneGuest {
 public:
  // Checks seals, magic, version, sizes. FAILED_PRECONDITION names what is wrong.
  static absl::StatusOr<LaneGuest> Map(os::Fd memfd, os::Fd down_event, os::Fd up_event);

  QueueConsumer& down() { return down_; }
  QueueProducer& up() { return up_; }
  LaneStatus& status();
  int down_eventfd() const { return down_event_.get(); }
  int up_eventfd() const { return up_event_.get(); }
  uint32_t worker_index() const { return worker_index_; }
  uint32_t generation() const { return generation_; }

 private:
  LaneGuest() = default;
  LaneHeader* header();
  os::Fd memfd_, down_event_, up_event_;
  os::Mapping mapping_;
  QueueConsumer down_;
  QueueProducer up_;
  uint32_t worker_index_ = 0;
  uint32_t generation_ = 0;
};

}  // namespace prefork::shm

#endif  // PREFORK_COMMON_SHM_LANE_H_
