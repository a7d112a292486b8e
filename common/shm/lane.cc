// The memory between the engine and one worker.
//
//     engine (LaneOwner)            one sealed memfd, no name              worker (LaneGuest)
//                        +---------------------------------------------+
//                        | LaneHeader: magic, version, sizes, name     |  written before it is shared
//     down() producer -> |   down indices   up indices   status        | <- down() consumer
//     up()   consumer <- | down ring (tasks)                           | <- up()   producer
//                        | up ring (results, progress, partial values) |
//                        +---------------------------------------------+
//     down eventfd: the engine writes it, the worker sleeps on it
//     up eventfd:   the worker writes it, the engine has it in its epoll
//
// Each field has one writer (lane_layout.h); the two queues and their wake-up are explained in
// queue.cc.
//
// Memory. fallocate takes every page when the lane is made, so running out is a Status then and not
// a SIGBUS later; the seals forbid the peer to truncate what the other side has mapped.
//
// Death of the worker. The engine drains up(), settles the one record of down() that is claimed and
// not finished, moves the unclaimed ones to other workers and drops the lane. The next worker gets
// a new one, with a new generation in every record, so nothing of the old worker can be taken for
// the new one's. Death of the engine: the worker sees its control socket close; the memory lives
// until the worker ends.
//
// Trust. The engine works with its own copies of offsets and sizes and never reads the header
// again. The guest checks the header once when it maps the lane, because a lane may have been made
// by another version of the daemon.
#include "common/shm/lane.h"

#include <bit>
#include <cstring>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/os/check.h"
#include "common/os/eventfd.h"
#include "common/os/memfd.h"

namespace prefork::shm {
namespace {

constexpr size_t kMinRingBytes = 4096;
constexpr size_t kMaxRingBytes = size_t{1} << 30;
constexpr size_t kPageBytes = 4096;
// The rings begin on a page of their own.
constexpr size_t kRingsOffset = (sizeof(LaneHeader) + kPageBytes - 1) / kPageBytes * kPageBytes;

bool IsRingSize(uint64_t bytes) {
  return std::has_single_bit(bytes) && bytes >= kMinRingBytes && bytes <= kMaxRingBytes;
}

// Makes the objects that both sides use; memory fresh from the kernel is zero.
void Initialise(std::byte* memory, const LaneOptions& options) {
  LaneHeader* const header = new (memory) LaneHeader{};
  header->magic = kLaneMagic;
  header->version = kLaneVersion;
  header->worker_index = options.worker_index;
  header->total_bytes = kRingsOffset + options.down_bytes + options.up_bytes;
  header->down_offset = kRingsOffset;
  header->down_bytes = options.down_bytes;
  header->up_offset = kRingsOffset + options.down_bytes;
  header->up_bytes = options.up_bytes;
  header->generation = options.generation;
}

// The plain fields of a header, copied once.
struct Geometry {
  uint64_t magic;
  uint32_t version;
  uint32_t worker_index;
  uint64_t total_bytes;
  uint64_t down_offset;
  uint64_t down_bytes;
  uint64_t up_offset;
  uint64_t up_bytes;
  uint32_t generation;
  uint32_t reserved;
};
static_assert(offsetof(LaneHeader, generation) == offsetof(Geometry, generation));
static_assert(offsetof(LaneHeader, down) % kCacheLine == 0);
static_assert(offsetof(LaneHeader, down) >= sizeof(Geometry));

absl::Status CheckGeometry(const Geometry& geometry, uint64_t memfd_bytes) {
  const auto refuse = [](const auto&... parts) {
    return absl::FailedPreconditionError(absl::StrCat("lane memfd: ", parts...));
  };
  if (geometry.magic != kLaneMagic)
    return refuse("magic ", absl::Hex(geometry.magic), " is not a lane's");
  if (geometry.version != kLaneVersion) {
    return refuse("layout version ", geometry.version, ", this program knows ", kLaneVersion,
                  "; restart the pool so that daemon and worker are of one release");
  }
  if (geometry.total_bytes != memfd_bytes) {
    return refuse("header says ", geometry.total_bytes, " bytes, the file has ", memfd_bytes);
  }
  if (!IsRingSize(geometry.down_bytes))
    return refuse("down ring of ", geometry.down_bytes, " bytes");
  if (!IsRingSize(geometry.up_bytes)) return refuse("up ring of ", geometry.up_bytes, " bytes");
  // The sizes are bounded above, so the sums can't overflow once the offsets are known to lie in
  // the file.
  if (geometry.down_offset != kRingsOffset ||
      geometry.up_offset != kRingsOffset + geometry.down_bytes ||
      geometry.up_offset + geometry.up_bytes > memfd_bytes) {
    return refuse("rings at ", geometry.down_offset, " and ", geometry.up_offset, " do not fit");
  }
  return absl::OkStatus();
}

LaneHeader* HeaderOf(os::Mapping& mapping) {
  return std::launder(reinterpret_cast<LaneHeader*>(mapping.bytes().data()));
}

}  // namespace

absl::StatusOr<LaneOwner> LaneOwner::Create(const LaneOptions& options) {
  PREFORK_CHECK(IsRingSize(options.down_bytes) && IsRingSize(options.up_bytes));
  const size_t total_bytes = kRingsOffset + options.down_bytes + options.up_bytes;
  absl::StatusOr<os::Fd> memfd = os::CreateSealedMemfd("prefork-lane", total_bytes);
  if (!memfd.ok()) return memfd.status();
  absl::StatusOr<os::Mapping> mapping =
      os::Mapping::Create(memfd->get(), total_bytes, os::Mapping::Access::kReadWrite);
  if (!mapping.ok()) return mapping.status();
  absl::StatusOr<os::Fd> down_event = os::CreateEventfd();
  if (!down_event.ok()) return down_event.status();
  absl::StatusOr<os::Fd> up_event = os::CreateEventfd();
  if (!up_event.ok()) return up_event.status();

  LaneOwner lane;
  lane.memfd_ = *std::move(memfd);
  lane.mapping_ = *std::move(mapping);
  lane.down_event_ = *std::move(down_event);
  lane.up_event_ = *std::move(up_event);
  std::byte* const memory = lane.mapping_.bytes().data();
  Initialise(memory, options);
  LaneHeader* const header = lane.header();
  lane.down_ = QueueProducer(memory + kRingsOffset, options.down_bytes, &header->down,
                             options.generation, lane.down_event_.get());
  lane.up_ = QueueConsumer(memory + kRingsOffset + options.down_bytes, options.up_bytes,
                           &header->up, options.generation);
  return lane;
}

LaneHeader* LaneOwner::header() { return HeaderOf(mapping_); }
LaneStatus& LaneOwner::status() { return header()->status; }

absl::StatusOr<LaneGuest> LaneGuest::Map(os::Fd memfd, os::Fd down_event, os::Fd up_event) {
  const absl::StatusOr<uint64_t> memfd_bytes = os::CheckSealedMemfd(memfd.get());
  if (!memfd_bytes.ok()) return memfd_bytes.status();
  if (*memfd_bytes < kRingsOffset + 2 * kMinRingBytes) {
    return absl::FailedPreconditionError(
        absl::StrCat("lane memfd of ", *memfd_bytes, " bytes is too small"));
  }
  absl::StatusOr<os::Mapping> mapping =
      os::Mapping::Create(memfd.get(), *memfd_bytes, os::Mapping::Access::kReadWrite);
  if (!mapping.ok()) return mapping.status();
  Geometry geometry;
  memcpy(&geometry, mapping->bytes().data(), sizeof(geometry));
  if (absl::Status status = CheckGeometry(geometry, *memfd_bytes); !status.ok()) return status;

  LaneGuest lane;
  lane.memfd_ = std::move(memfd);
  lane.mapping_ = *std::move(mapping);
  lane.down_event_ = std::move(down_event);
  lane.up_event_ = std::move(up_event);
  lane.worker_index_ = geometry.worker_index;
  lane.generation_ = geometry.generation;
  std::byte* const memory = lane.mapping_.bytes().data();
  LaneHeader* const header = lane.header();
  lane.down_ = QueueConsumer(memory + geometry.down_offset, geometry.down_bytes, &header->down,
                             geometry.generation);
  lane.up_ = QueueProducer(memory + geometry.up_offset, geometry.up_bytes, &header->up,
                           geometry.generation, lane.up_event_.get());
  return lane;
}

LaneHeader* LaneGuest::header() { return HeaderOf(mapping_); }
LaneStatus& LaneGuest::status() { return header()->status; }

}  // namespace prefork::shm
