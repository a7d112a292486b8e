// Two ends that race: every record that is published is either taken by the consumer or revoked by
// the producer, exactly once, whatever the order; and nobody sleeps for ever.
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <deque>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "absl/base/config.h"
#include "common/os/clock.h"
#include "common/os/eventfd.h"
#include "common/os/pidfd.h"
#include "common/os/wait_status.h"
#include "common/shm/queue.h"
#include "gtest/gtest.h"

namespace prefork::shm {
namespace {

constexpr size_t kRingBytes = 4096;
constexpr uint32_t kGeneration = 3;
constexpr int kSleepTimeoutMs = 20'000;  // a lost wake-up, not a slow machine
#if defined(ABSL_HAVE_THREAD_SANITIZER) || defined(ABSL_HAVE_ADDRESS_SANITIZER)
constexpr uint64_t kRecords = 100'000;
#else
constexpr uint64_t kRecords = 1'000'000;
#endif

// What both ends share; also usable between processes.
struct Shared {
  QueueIndices indices{};
  alignas(kCacheLine) std::byte ring[kRingBytes]{};
  std::atomic<uint64_t> taken{0};
  std::atomic<uint64_t> errors{0};
  std::atomic<uint8_t> fate[kRecords]{};  // times taken by the consumer
};

// Takes records, checks their contents and sleeps when there are none, until the record with number
// kRecords.
void Consume(Shared* shared, int event_fd) {
  QueueConsumer consumer(shared->ring, kRingBytes, &shared->indices, kGeneration);
  for (;;) {
    auto record = consumer.Next(true);
    if (!record.ok()) {
      ++shared->errors;
      return;
    }
    if (!record->has_value()) {
      if (!consumer.PrepareSleep()) continue;
      pollfd poll_fd = {event_fd, POLLIN, 0};
      if (poll(&poll_fd, 1, kSleepTimeoutMs) != 1) {
        ++shared->errors;
        return;
      }
      os::ClearEventfd(event_fd);
      consumer.CancelSleep();
      continue;
    }
    uint64_t number;
    memcpy(&number, (*record)->body.data(), sizeof(number));
    if (number == kRecords) return;
    for (size_t i = sizeof(number); i < (*record)->body.size(); ++i) {
      if ((*record)->body[i] != static_cast<std::byte>(number)) ++shared->errors;
    }
    ++shared->fate[number];
    ++shared->taken;
    consumer.Release();
  }
}

// Publishes every number once in batches of random size and revokes some while the consumer runs.
// Returns how many.
uint64_t Produce(Shared* shared, int event_fd) {
  QueueProducer producer(shared->ring, kRingBytes, &shared->indices, kGeneration, event_fd);
  std::mt19937 random(42);
  struct Published {
    uint64_t number;
    RecordPosition position;
  };
  std::deque<Published> recent;
  uint64_t revoked = 0;
  const auto put = [&](uint64_t number) {
    const size_t bytes = sizeof(number) + random() % 60;
    std::span<std::byte> place;
    while ((place = producer.Reserve(RecordKind::kTask, bytes)).empty()) {
      producer.PublishAndWake();
      std::this_thread::yield();
    }
    memcpy(place.data(), &number, sizeof(number));
    memset(place.data() + sizeof(number), static_cast<int>(number & 0xff), bytes - sizeof(number));
    recent.push_back({number, producer.Commit()});
  };
  uint64_t next = 0;
  while (next < kRecords) {
    for (uint64_t batch = 1 + random() % 16; batch > 0 && next < kRecords; --batch) put(next++);
    producer.PublishAndWake();
    while (recent.size() > 8) {
      const Published candidate = recent.front();
      recent.pop_front();
      if (random() % 4 == 0 && producer.Revoke(candidate.position)) {
        ++revoked;
        shared->fate[candidate.number] += 100;
      }
    }
  }
  put(kRecords);
  producer.PublishAndWake();
  return revoked;
}

void ExpectExactlyOnce(const Shared& shared, uint64_t revoked) {
  EXPECT_EQ(shared.errors, 0u);
  EXPECT_EQ(shared.taken + revoked, kRecords);
  EXPECT_GT(revoked, 0u) << "the race was never won by the producer: the test shows nothing";
  for (uint64_t number = 0; number < kRecords; ++number) {
    const int fate = shared.fate[number];
    ASSERT_TRUE(fate == 1 || fate == 100) << "record " << number << " has fate " << fate;
  }
}

Shared* MapShared() {
  void* memory =
      mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  EXPECT_NE(memory, MAP_FAILED);
  return new (memory) Shared;
}

TEST(QueueStressTest, TwoThreadsTakeOrRevokeEveryRecordExactlyOnce) {
  const auto shared = std::make_unique<Shared>();
  const os::Fd event = *os::CreateEventfd();
  std::thread consumer(Consume, shared.get(), event.get());
  const uint64_t revoked = Produce(shared.get(), event.get());
  consumer.join();
  ExpectExactlyOnce(*shared, revoked);
}

TEST(QueueStressTest, TwoProcessesTakeOrRevokeEveryRecordExactlyOnce) {
  Shared* const shared = MapShared();
  const os::Fd event = *os::CreateEventfd();
  const pid_t pid = fork();
  ASSERT_GE(pid, 0);
  if (pid == 0) {
    Consume(shared, event.get());
    _exit(0);
  }
  const absl::StatusOr<os::Pidfd> child = os::Pidfd::Open(pid);
  ASSERT_TRUE(child.ok());
  const uint64_t revoked = Produce(shared, event.get());
  const auto exit = child->Reap(true);
  ASSERT_TRUE(exit.ok());
  EXPECT_EQ(os::DescribeWaitStatus((*exit)->wait_status), "exited with code 0");
  ExpectExactlyOnce(*shared, revoked);
  munmap(shared, sizeof(Shared));
}

// A consumer killed at any point leaves a ring that tells released, claimed and untouched records
// apart.
TEST(QueueStressTest, KilledConsumerLeavesAtMostOneRecordClaimedAndNotReleased) {
  for (int round = 0; round < 50; ++round) {
    Shared* const shared = MapShared();
    const os::Fd event = *os::CreateEventfd();
    const pid_t pid = fork();
    ASSERT_GE(pid, 0);
    if (pid == 0) {
      Consume(shared, event.get());
      _exit(0);
    }
    const absl::StatusOr<os::Pidfd> child = os::Pidfd::Open(pid);
    ASSERT_TRUE(child.ok());
    QueueProducer producer(shared->ring, kRingBytes, &shared->indices, kGeneration, event.get());
    struct Published {
      uint64_t number;
      RecordPosition position;
    };
    std::deque<Published> pending;
    const uint64_t kill_at = 200 + 37 * static_cast<uint64_t>(round);
    for (uint64_t number = 0; number < kill_at + 20; ++number) {
      if (number == kill_at) {
        ASSERT_TRUE(child->SendSignal(SIGKILL).ok());
      }
      std::span<std::byte> place = producer.Reserve(RecordKind::kTask, sizeof(number));
      while (place.empty() && number < kill_at) {
        std::this_thread::yield();
        place = producer.Reserve(RecordKind::kTask, sizeof(number));
      }
      if (place.empty()) break;  // dead, and the ring is full
      memcpy(place.data(), &number, sizeof(number));
      pending.push_back({number, producer.Commit()});
      producer.PublishAndWake();
      while (!pending.empty() && *producer.IsReleased(pending.front().position))
        pending.pop_front();
    }
    ASSERT_TRUE(child->Reap(true).ok());
    while (!pending.empty() && *producer.IsReleased(pending.front().position)) pending.pop_front();
    int claimed = 0;
    for (const Published& record : pending) {
      if (producer.IsClaimed(record.position)) {
        ++claimed;
      } else {
        EXPECT_EQ(shared->fate[record.number], 0) << "an untouched record was consumed";
        EXPECT_TRUE(producer.Revoke(record.position));
      }
    }
    EXPECT_LE(claimed, 1);
    munmap(shared, sizeof(Shared));
  }
}

}  // namespace
}  // namespace prefork::shm
