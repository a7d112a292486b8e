#ifndef PREFORK_SERVER_ENGINE_LINGER_H_
#define PREFORK_SERVER_ENGINE_LINGER_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace prefork::engine {

// Says when the engine stays awake for the answer to what it has just dispatched. A client that
// sends a small task, waits for it and sends the next one would otherwise pay for putting the engine
// to sleep and waking it while the worker runs, and for a message that says `accepted` right before
// the one with the result. It never lasts longer than kLookNs, only while the tasks are fewer than
// the CPUs, so that none of them needs the engine's, and more and more seldom when the answers take
// longer than that: because the tasks do, or because others want the CPUs too.
class Linger {
 public:
  explicit Linger(size_t cpus) : cpus_(cpus) {}

  // Lanes were given something; `unfinished` tasks there are in all.
  void Dispatched(int64_t now_ns, size_t unfinished) {
    if (unfinished >= cpus_) return;
    if (skip_ > 0) {
      --skip_;
      return;
    }
    until_ns_ = now_ns + kLookNs;
  }
  // A lane has said something.
  void Answered() {
    if (until_ns_ == 0) return;
    until_ns_ = 0;
    pause_ = 0;
  }
  // Is the answer still waited for?
  bool Looking(int64_t now_ns) {
    if (until_ns_ == 0) return false;
    if (now_ns < until_ns_) return true;
    until_ns_ = 0;
    pause_ = std::min(2 * pause_ + 1, kMaxPause);
    skip_ = pause_;
    return false;
  }

 private:
  // Longer than a worker on a CPU of its own takes to wake up, run a tiny task and answer.
  static constexpr int64_t kLookNs = 30'000;
  static constexpr uint32_t kMaxPause = 127;

  const size_t cpus_;
  int64_t until_ns_ = 0;  // 0: not looking
  uint32_t pause_ = 0;    // dispatches to leave out after the next look in vain
  uint32_t skip_ = 0;     // of them, those still to be left out
};

}  // namespace prefork::engine

#endif  // PREFORK_SERVER_ENGINE_LINGER_H_
