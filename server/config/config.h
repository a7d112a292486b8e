#ifndef PREFORK_SERVER_CONFIG_CONFIG_H_
#define PREFORK_SERVER_CONFIG_CONFIG_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "server/pool/pool_spec.h"

// What an operator can set, with its defaults; the meaning of each field is in the table of
// schema.cc, which is also what is parsed, shown and documented.
namespace prefork::config {

enum class LogLevel : uint8_t { kDebug, kInfo, kWarning, kError };

struct DaemonConfig {
  std::string socket;  // never empty once loaded
  uint32_t socket_mode = 0600;
  std::string socket_group;
  std::vector<std::string> allow_users;
  LogLevel log_level = LogLevel::kInfo;
  absl::Duration idle_timeout = absl::InfiniteDuration();
  absl::Duration drain_timeout = absl::Seconds(30);
  std::string worker_program;
};

// TCP is served with TLS only; off while `listen` is empty.
struct TlsConfig {
  std::string listen;  // "host:port"
  std::string certificate;
  std::string key;
  std::string client_ca;
};

struct ResultsConfig {
  absl::Duration ttl = absl::Hours(1);
  uint64_t max_tasks = 100'000;
  uint64_t max_bytes = uint64_t{512} << 20;
};

struct LimitsConfig {
  uint64_t max_payload_bytes = uint64_t{1} << 30;
  uint64_t inline_payload_bytes = 16 << 10;
  uint64_t segment_bytes = uint64_t{1} << 30;
  uint64_t warm_segment_bytes = uint64_t{256} << 20;
  uint64_t client_segments = 1024;
  uint64_t client_segment_bytes = uint64_t{512} << 20;
  uint64_t clients_segment_bytes = uint64_t{768} << 20;
  uint64_t events = 200'000;
  uint64_t event_bytes = uint64_t{64} << 20;
  uint64_t session_tasks = 500'000;
  uint32_t pools = 256;
  uint32_t unused_pools = 16;
};

struct Config {
  DaemonConfig daemon;
  TlsConfig tls;
  ResultsConfig results;
  LimitsConfig limits;
  pool::PoolSpec pool_defaults;       // also for pools that are made at run time
  std::vector<pool::PoolSpec> pools;  // in order of their names; at least one once loaded
};

}  // namespace prefork::config

#endif  // PREFORK_SERVER_CONFIG_CONFIG_H_
