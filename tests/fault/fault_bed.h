#ifndef PREFORK_TESTS_FAULT_FAULT_BED_H_
#define PREFORK_TESTS_FAULT_FAULT_BED_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "prefork/api.h"
#include "prefork/client.h"
#include "tests/integration/daemon_fixture.h"
#include "tests/integration/wait_for.h"

namespace prefork::fault {

// Flags of a daemon whose workers do what a StrikeFile, or PREFORK_FAULT in the environment of a
// pool, says.
std::vector<std::string> UseFaultyWorkers();
// The zygote that misbehaves by itself (tests/server/pool/fake_zygote.cc).
std::string FakeZygoteProgram();
// The client that holds segments until it is killed (segment_holder.cc).
std::string SegmentHolderProgram();
// [pool.NAME] of the runtime native with the functions that misbehave on request.
std::string MisbehavingPool(const std::string& name, int size, const std::string& more = "");
// [pool.NAME] of the runtime command.
std::string CommandPool(const std::string& name, int size, const std::string& more = "");

// Generous: nothing here is about speed, and sanitizers are slow.
inline constexpr absl::Duration kPatience = absl::Seconds(30);

// A daemon that is going to be mistreated, and a client of it. When it goes, it checks that
// everything is whole: the pools at their sizes, no zombie below the daemon, no more descriptors in
// it than before, and no process, socket or shared memory after its end.
class FaultBed {
 public:
  // Waits until it is whole.
  explicit FaultBed(testing::DaemonOptions options, client::EventOptions events = {});
  // One that begins with broken pools, and without a count of its descriptors.
  struct Broken {};
  FaultBed(Broken, testing::DaemonOptions options);
  ~FaultBed();
  FaultBed(const FaultBed&) = delete;
  FaultBed& operator=(const FaultBed&) = delete;

  testing::Daemon& daemon() { return *daemon_; }
  client::Client& client() { return *client_; }
  client::Api& api() { return client_->api(); }
  std::unique_ptr<client::Client> Connect(client::EventOptions events = {}) const;
  // After the daemon was killed and another one has its socket.
  void Reconnect() { client_ = Connect(); }

  // Counts the daemon's descriptors; what is open now is allowed at the end.
  void NoteDescriptors();
  // Each pool READY at its size with idle workers, nothing unfinished, no zombie, no descriptor
  // lost. Waits for it.
  void ExpectWhole();

  v1::Pool Pool(const std::string& name);
  // The pooled workers that are alive and ready, by slot.
  std::vector<v1::Worker> Workers(const std::string& pool);
  bool WaitForPool(const std::string& name, v1::PoolState state,
                   absl::Duration timeout = kPatience);
  // Waits until the task is in `state`.
  bool WaitForState(uint64_t task_id, v1::TaskState state, absl::Duration timeout = kPatience);

  // Submits and expects that it is accepted.
  client::TaskHandle Submit(const client::TaskSpec& spec, client::SubmitOptions options = {});
  client::TaskHandle Submit(const std::string& pool, const std::string& function,
                            const std::string& payload = "");
  // Its end; a failure of the test and an empty result when it does not come.
  static client::TaskResult End(const client::TaskHandle& task, absl::Duration timeout = kPatience);
  // Submits one task and expects that it succeeds.
  void ExpectWorks(const std::string& pool);

  uint64_t Descriptors() const;
  std::vector<pid_t> Zombies() const;

 private:
  void Start(testing::DaemonOptions options);
  bool IsWhole(std::string* why);

  std::unique_ptr<testing::Daemon> daemon_;
  std::unique_ptr<client::Client> client_;
  uint64_t allowed_descriptors_ = 0;
};

bool IsAlive(pid_t pid);
// Of a process: 'S', 'T', 'Z', ...; '\0' when there is none.
char ProcessState(pid_t pid);

// A terminal task in words, for failure messages.
std::string Describe(const client::TaskResult& result);

// Expects the state and cause.
void ExpectEnd(const client::TaskResult& result, client::TaskState state, client::EndCause cause);

}  // namespace prefork::fault

#endif  // PREFORK_TESTS_FAULT_FAULT_BED_H_
