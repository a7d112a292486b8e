#ifndef PREFORK_SERVER_POOL_DEATH_TALLY_H_
#define PREFORK_SERVER_POOL_DEATH_TALLY_H_

#include <cstdint>
#include <string>

namespace prefork::pool {

// Counts a pool's failures in a row; over a threshold the pool is DEGRADED until a success cures
// it. A start failure is cured by a worker that becomes ready; workers that die young are cured
// only by one that proves itself.
class DeathTally {
 public:
  explicit DeathTally(uint32_t pool_size) { SetPoolSize(pool_size); }

  // The threshold grows with the pool, so that one bad moment that hits all workers does not count.
  void SetPoolSize(uint32_t pool_size);

  enum class Kind { kStart, kYoungDeath };
  // Each returns whether degraded() or reason() has changed.
  bool Failed(Kind kind, std::string reason);
  bool Ready();
  bool Proven();

  bool degraded() const { return degraded_; }
  // Why the last one failed; empty unless degraded.
  std::string reason() const;
  uint32_t failures() const { return failures_; }

 private:
  uint32_t threshold_ = 0;
  uint32_t failures_ = 0;
  Kind last_kind_ = Kind::kStart;
  bool degraded_ = false;
  std::string last_reason_;
};

}  // namespace prefork::pool

#endif  // PREFORK_SERVER_POOL_DEATH_TALLY_H_
