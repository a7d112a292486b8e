// Plays an engine whose worker writes anything anywhere. The input is a program: each byte is an
// operation of the engine on its ends of a lane, or a write of the hostile worker with the bytes
// that follow. Checked after every operation: a record lies inside of its ring, can be read to its
// last byte, and no call goes on for ever.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "common/os/check.h"
#include "common/os/eventfd.h"
#include "common/shm/queue.h"
#include "tests/fuzz/seeds.h"

namespace prefork::shm {
namespace {

constexpr size_t kRingBytes = 4096;
constexpr uint32_t kGeneration = 1;

struct Memory {
  QueueIndices down{};
  QueueIndices up{};
  alignas(kCacheLine) std::byte down_ring[kRingBytes]{};
  alignas(kCacheLine) std::byte up_ring[kRingBytes]{};
};

enum Operation : uint8_t {
  kNext,
  kRelease,
  kSleep,
  kDispatch,
  kPublish,
  kAskAboutRecords,
  kHonestTake,
  kHonestResult,
  kWriteIndices,
  kWriteUpRecord,
  kWriteDownRecord,
  kWriteAnywhere,
  kOperations,
};

class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  bool empty() const { return size_ == 0; }
  template <typename T>
  T Take() {
    T value{};
    const size_t bytes = size_ < sizeof(T) ? size_ : sizeof(T);
    memcpy(&value, data_, bytes);
    data_ += bytes;
    size_ -= bytes;
    return value;
  }

 private:
  const uint8_t* data_;
  size_t size_;
};

class HostileLane {
 public:
  explicit HostileLane(int event_fd)
      : down_(memory_.down_ring, kRingBytes, &memory_.down, kGeneration, event_fd),
        up_(memory_.up_ring, kRingBytes, &memory_.up, kGeneration),
        worker_down_(memory_.down_ring, kRingBytes, &memory_.down, kGeneration),
        worker_up_(memory_.up_ring, kRingBytes, &memory_.up, kGeneration, event_fd) {}

  void Step(Input& input) {
    switch (input.Take<uint8_t>() % kOperations) {
      case kNext:
        ReadOne(up_, memory_.up_ring, false);
        break;
      case kRelease:
        up_.Release();
        (void)up_.TakeProducerWaiting();
        break;
      case kSleep:
        if (up_.PrepareSleep()) up_.CancelSleep();
        break;
      case kDispatch: {
        const size_t bytes = 1 + input.Take<uint8_t>();
        const std::span<std::byte> place = down_.Reserve(RecordKind::kTask, bytes);
        if (place.empty()) break;
        CheckInside(memory_.down_ring, place);
        memset(place.data(), 0x11, place.size());
        positions_.push_back(down_.Commit());
        break;
      }
      case kPublish:
        down_.PublishAndWake();
        break;
      case kAskAboutRecords:
        for (const RecordPosition position : positions_) {
          const bool claimed = down_.IsClaimed(position);
          const bool revoked = down_.Revoke(position);
          PREFORK_CHECK(!(claimed && revoked));
          (void)down_.IsReleased(position);
        }
        (void)down_.used_bytes();
        break;
      case kHonestTake:
        ReadOne(worker_down_, memory_.down_ring, true);
        worker_down_.Release();
        break;
      case kHonestResult: {
        const std::span<std::byte> place =
            worker_up_.Reserve(RecordKind::kFinished, 1 + input.Take<uint8_t>());
        if (!place.empty()) worker_up_.Commit();
        worker_up_.PublishAndWake();
        break;
      }
      case kWriteIndices: {
        QueueIndices& indices = input.Take<uint8_t>() % 2 == 0 ? memory_.up : memory_.down;
        const uint8_t field = input.Take<uint8_t>();
        if (field % 4 == 0) indices.tail = input.Take<uint64_t>();
        if (field % 4 == 1) indices.head = input.Take<uint64_t>();
        if (field % 4 == 2) indices.consumer_sleeping = input.Take<uint32_t>();
        if (field % 4 == 3) indices.producer_waiting = input.Take<uint32_t>();
        break;
      }
      case kWriteUpRecord:
        WriteRecord(memory_.up_ring, input);
        break;
      case kWriteDownRecord:
        WriteRecord(memory_.down_ring, input);
        break;
      case kWriteAnywhere: {
        const size_t place = input.Take<uint16_t>() % sizeof(Memory);
        reinterpret_cast<std::byte*>(&memory_)[place] = input.Take<std::byte>();
        break;
      }
    }
  }

 private:
  static void CheckInside(const std::byte* ring, std::span<const std::byte> part) {
    PREFORK_CHECK(part.data() >= ring && part.data() + part.size() <= ring + kRingBytes);
  }

  void ReadOne(QueueConsumer& consumer, const std::byte* ring, bool claim) {
    const auto record = consumer.Next(claim);
    if (!record.ok()) {
      PREFORK_CHECK(absl::IsDataLoss(record.status()));
      return;
    }
    if (!record->has_value()) return;
    CheckInside(ring, (*record)->body);
    for (const std::byte byte : (*record)->body) checksum_ ^= byte;
  }

  static void WriteRecord(std::byte* ring, Input& input) {
    const size_t place = input.Take<uint8_t>() * kRecordAlignment % kRingBytes;
    const auto bytes = input.Take<std::array<std::byte, sizeof(RecordHeader)>>();
    memcpy(ring + place, bytes.data(), bytes.size());
  }

  Memory memory_;
  QueueProducer down_;
  QueueConsumer up_;
  QueueConsumer worker_down_;
  QueueProducer worker_up_;
  std::vector<RecordPosition> positions_;
  std::byte checksum_{};
};

}  // namespace
}  // namespace prefork::shm

namespace prefork::fuzz {

std::vector<std::string> Seeds() {
  using namespace prefork::shm;  // NOLINT(google-build-using-namespace): the operations' names
  const auto program = [](std::initializer_list<int> bytes) {
    return std::string(bytes.begin(), bytes.end());
  };
  return {
      program({kHonestResult, 40, kNext, kRelease, kHonestResult, 200, kNext, kRelease}),
      program({kDispatch, 60, kDispatch, 90, kPublish, kHonestTake, kAskAboutRecords, kHonestTake}),
      program({kDispatch, 255, kPublish, kHonestTake, kDispatch, 255, kPublish, kHonestTake,
               kAskAboutRecords}),
      // A record of 8 bytes that the worker made by hand, published by its own tail.
      program({kWriteUpRecord, 0, 8, 0,  0, 0, 17, 0, 0, 0, 1, 0,     0,       0, 1, 0, 0, 0,  //
               kWriteIndices,  0, 0, 32, 0, 0, 0,  0, 0, 0, 0, kNext, kRelease}),
  };
}

}  // namespace prefork::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const prefork::os::Fd event = *prefork::os::CreateEventfd();
  prefork::shm::HostileLane lane(event.get());
  prefork::shm::Input input(data, size);
  while (!input.empty()) lane.Step(input);
  return 0;
}
